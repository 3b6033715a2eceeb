"""Sealing (AES-256-GCM, random nonce): whoever holds a cache or a table can neither read nor plant a value.

    sealed = key id (4 bytes) + nonce (12 bytes) + ciphertext and tag

The key id says which key to try while two are in use; the context (AAD) binds a value to its place, so that one
workspace's token does not open as another's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.settings import Secret, SettingsError

_ID_BYTES = 4
_NONCE_BYTES = 12
_KEY_BYTES = 32


class SealBroken(Exception):
    """The value was not sealed by one of these keys for this context."""


class Sealer:
    """Seals with the first key of `keys`, opens with any.

    Args:
        keys: one or two keys of 32 bytes in URL-safe base64, separated by a space (current, previous).
        name: the variable that they came from, for the error.

    Raises:
        SettingsError: there is no key, or one is not 32 bytes of base64.
    """

    def __init__(self, keys: Secret, name: str) -> None:
        self._ciphers: dict[bytes, AESGCM] = {}
        for text in keys.reveal().split():
            key = _decode(text, name)
            self._ciphers.setdefault(hashlib.sha256(b"key id" + key).digest()[:_ID_BYTES], AESGCM(key))
        if not self._ciphers:
            raise SettingsError(f"{name} holds no key")
        self._current = next(iter(self._ciphers))

    def seal(self, value: bytes, context: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return self._current + nonce + self._ciphers[self._current].encrypt(nonce, value, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """The value.

        Raises:
            SealBroken: it was made with another key or for another context, or was changed.
        """
        key_id, nonce = sealed[:_ID_BYTES], sealed[_ID_BYTES : _ID_BYTES + _NONCE_BYTES]
        cipher = self._ciphers.get(key_id)
        if cipher is None or len(nonce) < _NONCE_BYTES:
            raise SealBroken("sealed with a key that is not in use")
        try:
            return cipher.decrypt(nonce, sealed[_ID_BYTES + _NONCE_BYTES :], context.encode())
        except InvalidTag:
            raise SealBroken("changed, or sealed for another context") from None

    def seal_text(self, value: str, context: str) -> str:
        """`seal`, in URL-safe base64: how store tokens are kept in the control plane (context: the workspace's id)."""
        return base64.urlsafe_b64encode(self.seal(value.encode(), context)).decode()

    def open_text(self, sealed: str, context: str) -> str:
        try:
            return self.open(base64.urlsafe_b64decode(sealed), context).decode()
        except binascii.Error:
            raise SealBroken("not base64") from None


def _decode(text: str, name: str) -> bytes:
    try:
        key = base64.b64decode(text, altchars=b"-_", validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise SettingsError(f"{name} must hold keys of {_KEY_BYTES} bytes in URL-safe base64")
    return key
