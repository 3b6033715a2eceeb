"""What each handler of `declarations.ACCOUNTS` takes and answers, in its order."""

from __future__ import annotations

from typing import Any

from accounts import answers, schemas
from core.problems import Conflict, Forbidden, NotFound, TooManyRequests
from declarations import KEYS_MOST, TEAM
from infra.openapi.examples import accounts as examples
from infra.openapi.operation import Answer, Operation, Tag

_TEAM = TEAM.name.capitalize()
_HOLDS = "It holds everywhere after `holds_within_seconds`."
_NO_KEY = "There is no API key of that id in this workspace that you may see."
_NO_WORKSPACE = "There is no workspace of that id that you may use."
_NO_MEMBER = "There is no such workspace, or no such member in it."
_NO_INVITATION = "There is no such workspace, or no open invitation of that id in it."
_ROLE = "Your role in the workspace, or the scope of the key, does not allow it."
_WEAKER = f"{_ROLE} Or the new key could do more than the key that asks for it."
_MAILS = "So many mails of this kind went out that no more are sent today, or a limit of calls is reached."
_HAND_OVER = "Others work in a workspace that you own: hand it over, delete it, or remove them first."


def _answer(body: Any, example: Any, text: str, status: int = 200) -> dict[int, Answer]:
    return {status: Answer(text=text, body=body, example=example)}


OPERATIONS: dict[str, Operation] = {
    "read_credential": Operation(
        tag=Tag.ACCOUNT,
        summary="Is this credential good, and what may it do?",
        answers=_answer(answers.VerifiedBody, examples.VERIFIED, "It is good."),
    ),
    "read_account": Operation(
        tag=Tag.ACCOUNT,
        summary="Read your account",
        answers=_answer(answers.AccountBody, examples.ACCOUNT, "The account."),
    ),
    "update_account": Operation(
        tag=Tag.ACCOUNT,
        summary="Change your account",
        text="What is absent stays. A setting that is null goes.",
        takes=schemas.AccountUpdate,
        example={"name": "Ada", "settings": examples.SETTINGS},
        answers=_answer(answers.AccountBody, examples.ACCOUNT, "The account as it is now."),
    ),
    "export_account": Operation(
        tag=Tag.ACCOUNT,
        summary="All that is held of you",
        text="The account, its keys, what it did, calls by day, and the memories of each workspace that you own, in "
        "the format of `GET /export`. By an API key: of its workspace only, and the key needs the scope "
        "`memories:read` as well and no project. The answer is sent while it is made: one that is cut off lacks its "
        "end.",
        problems={Forbidden: "The key lacks one of the scopes, or is bound to a project."},
        answers={
            200: Answer(text="An archive.", media={"application/zip": "A ZIP archive; `manifest.json` lists it."})
        },
    ),
    "request_erasure": Operation(
        tag=Tag.ACCOUNT,
        summary="Ask for the erasure of your account",
        text="A mail brings the link that confirms it.",
        person=True,
        problems={Conflict: f"{_HAND_OVER} Or no e-mail address is known.", TooManyRequests: _MAILS},
        answers=_answer(answers.ErasureMailedBody, examples.ERASURE_MAILED, "The mail is on its way.", 202),
    ),
    "confirm_erasure": Operation(
        tag=Tag.ACCOUNT,
        summary="Erase the account",
        text="With the token of the mail. It cannot be undone.",
        takes=schemas.ErasureConfirm,
        example=examples.TOKEN,
        problems={NotFound: "The token is not valid any more.", Conflict: _HAND_OVER},
        answers=_answer(
            answers.ErasingBody, examples.ERASING, f"The account is closed, and is being erased. {_HOLDS}", 202
        ),
    ),
    "list_keys": Operation(
        tag=Tag.KEYS,
        summary="List API keys",
        text="A member sees their own; owner and admins see all of the workspace.",
        answers=_answer(answers.KeysBody, examples.KEYS, "The keys, without what opens anything."),
    ),
    "create_key": Operation(
        tag=Tag.KEYS,
        summary="Make an API key",
        text="For the workspace that the request is about.",
        takes=schemas.KeyCreate,
        example=examples.NEW_KEY,
        problems={
            Forbidden: _WEAKER,
            Conflict: f"The workspace has {KEYS_MOST} keys, the most that it may have.",
        },
        answers=_answer(answers.NewKeyBody, examples.MADE_KEY, "The key. `key` is shown here only.", 201),
    ),
    "rename_key": Operation(
        tag=Tag.KEYS,
        summary="Rename an API key",
        takes=schemas.KeyRename,
        example={"name": "Old laptop"},
        problems={NotFound: _NO_KEY, Forbidden: _ROLE},
        answers=_answer(answers.KeyBody, examples.KEY, "The key."),
    ),
    "rotate_key": Operation(
        tag=Tag.KEYS,
        summary="Replace an API key by a new one",
        text="Both work until the overlap is over. Only its owner can do that.",
        takes=schemas.KeyRotate,
        example={"overlap_hours": 24},
        body_may_be_empty=True,
        problems={
            NotFound: _NO_KEY,
            Forbidden: f"{_WEAKER} Or the key is somebody else's.",
            Conflict: "It was rotated before, or has ended.",
        },
        answers=_answer(
            answers.RotatedKeyBody, examples.ROTATED_KEY, f"The new key. `key` is shown here only. {_HOLDS}", 201
        ),
    ),
    "revoke_key": Operation(
        tag=Tag.KEYS,
        summary="Revoke an API key",
        problems={NotFound: _NO_KEY, Forbidden: _ROLE},
        answers=_answer(answers.RevokedBody, examples.REVOKED, f"It is revoked. {_HOLDS}"),
    ),
    "list_workspaces": Operation(
        tag=Tag.WORKSPACES,
        summary="List your workspaces",
        answers=_answer(answers.WorkspacesBody, examples.WORKSPACES, "The workspaces that you are in."),
    ),
    "create_workspace": Operation(
        tag=Tag.WORKSPACES,
        summary="Make a workspace",
        text="Its store is there a few seconds later.",
        takes=schemas.WorkspaceName,
        example={"name": "The shop"},
        person=True,
        problems={
            Forbidden: f"That needs the {_TEAM} plan, or it was an API key that asked.",
            Conflict: "You own as many as one person may.",
        },
        answers=_answer(answers.WorkspaceBody, examples.NEW_WORKSPACE, "The workspace.", 201),
    ),
    "rename_workspace": Operation(
        tag=Tag.WORKSPACES,
        summary="Rename a workspace",
        takes=schemas.WorkspaceName,
        example={"name": "The shop"},
        problems={NotFound: _NO_WORKSPACE, Forbidden: _ROLE},
        answers=_answer(answers.WorkspaceBody, examples.WORKSPACE, "The workspace."),
    ),
    "delete_workspace": Operation(
        tag=Tag.WORKSPACES,
        summary="Delete a workspace with all that it holds",
        text="Only its owner can do that. It cannot be undone.",
        person=True,
        problems={
            NotFound: _NO_WORKSPACE,
            Forbidden: "You are not its owner, or it was an API key that asked.",
            Conflict: "It is a personal one: that is deleted with the account.",
        },
        answers=_answer(answers.DeletedBody, examples.DELETED, f"It is closed, and is being deleted. {_HOLDS}"),
    ),
    "list_members": Operation(
        tag=Tag.WORKSPACES,
        summary="List the members of a workspace",
        problems={NotFound: _NO_WORKSPACE},
        answers=_answer(answers.MembersBody, examples.MEMBERS, "Its members."),
    ),
    "change_member": Operation(
        tag=Tag.WORKSPACES,
        summary="Give a member another role",
        text="`owner` hands the workspace over, which only its owner can do, signed in: they become an admin.",
        takes=schemas.MemberChange,
        example={"role": "admin"},
        problems={
            NotFound: _NO_MEMBER,
            Forbidden: _ROLE,
            Conflict: "It would leave the workspace without an owner, or hand over a personal one.",
        },
        answers=_answer(answers.ChangedMemberBody, examples.CHANGED_MEMBER, f"The role. {_HOLDS}"),
    ),
    "remove_member": Operation(
        tag=Tag.WORKSPACES,
        summary="Remove a member, or leave",
        text="Their API keys of this workspace end with it.",
        problems={NotFound: _NO_MEMBER, Forbidden: _ROLE, Conflict: "They are its owner."},
        answers=_answer(answers.RemovedMemberBody, examples.REMOVED, f"They are gone. {_HOLDS}"),
    ),
    "list_invitations": Operation(
        tag=Tag.WORKSPACES,
        summary="List invitations",
        problems={NotFound: _NO_WORKSPACE, Forbidden: _ROLE},
        answers=_answer(
            answers.InvitationsBody, {"invitations": [examples.INVITATION]}, "Those that were not accepted."
        ),
    ),
    "invite_member": Operation(
        tag=Tag.WORKSPACES,
        summary="Invite somebody",
        text="A mail brings them the link. An open invitation to the same address is replaced.",
        takes=schemas.InvitationCreate,
        example={"email": "bo@example.com", "role": "member"},
        problems={
            NotFound: _NO_WORKSPACE,
            Forbidden: f"{_ROLE} Or the workspace is not on the {_TEAM} plan.",
            Conflict: "They are a member already, or too many invitations are open.",
            TooManyRequests: _MAILS,
        },
        answers=_answer(answers.InvitationBody, examples.INVITATION, "The invitation.", 201),
    ),
    "withdraw_invitation": Operation(
        tag=Tag.WORKSPACES,
        summary="Withdraw an invitation",
        problems={NotFound: _NO_INVITATION, Forbidden: _ROLE},
        answers={204: Answer(text="It is gone.")},
    ),
    "accept_invitation": Operation(
        tag=Tag.WORKSPACES,
        summary="Accept an invitation",
        text="With the token of the mail, signed in with the address that it went to.",
        takes=schemas.InvitationAccept,
        example=examples.TOKEN,
        person=True,
        problems={
            NotFound: "There is no such invitation.",
            Forbidden: f"It is for another address, the workspace is not on the {_TEAM} plan, or an API key asked.",
            Conflict: "It was used before, or has expired.",
        },
        answers=_answer(
            answers.WorkspaceBody, {**examples.WORKSPACE, "role": "member"}, "The workspace that you are in now."
        ),
    ),
    "read_usage": Operation(
        tag=Tag.USE,
        summary="How much the workspace has used",
        takes=schemas.UsageRequest,
        answers=_answer(answers.UsageBody, examples.USAGE, "Calls by day, and what the store holds."),
    ),
    "read_dashboard": Operation(
        tag=Tag.USE,
        summary="The figures of the dashboard",
        answers=_answer(answers.DashboardBody, examples.DASHBOARD, "The figures."),
    ),
}
