// The edge: finds the function for a path, signs the request, passes it on, and makes every failure readable.
//
// It knows no route, host or limit; `infra/components/edge.py` binds them:
//   ROUTES           JSON [[method, path, function], ...]; `{name}` in a path is one segment; the first match wins
//   ORIGINS          JSON {function: base URL}
//   TIMEOUT_SECONDS  how long to wait for a function to begin its answer
//   EDGE_SECRET_*    one secret per function; of two, separated by a space, the first one signs
//
// The signature covers who asks what, not the body: bodies stream through untouched. `functions/core/edge.py` is the
// other half, `tests/contract/edge_vectors.json` holds both to the same bytes.
//
// Left out on purpose: authentication, limits, caching. Those are the functions' affair.

const SIGNATURE_VERSION = "v1";

// Only the edge may say these. The last one would be read by Cloud Run's own access check.
const RESERVED = /^(x-edge-.*|x-serverless-authorization)$/;

// What the platform or the framework answers, not a function: it has no instance to give, or does not know the method.
const PLATFORM_FAILURES = new Map([
  [404, "There is no such path in this API."],
  [405, "This path does not take this method."],
  [429, "The service is busy. Try again in a moment."],
  [502, "The service did not answer. Try again in a moment."],
  [503, "The service is starting or busy. Try again in a moment."],
  [504, "The service took too long to answer. Try again in a moment."],
]);
const RETRY_AFTER_SECONDS = 2;

const TITLES = {
  404: "Not found",
  405: "Method not allowed",
  429: "Too many requests",
  502: "Bad gateway",
  503: "Service unavailable",
  504: "Gateway timeout",
};

const BODILESS = new Set(["GET", "HEAD"]);

const SECURITY_HEADERS = {
  "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
  "X-Content-Type-Options": "nosniff",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  "Referrer-Policy": "no-referrer",
};

export default {
  async fetch(request, env) {
    const requestId = crypto.randomUUID().replaceAll("-", "");
    let response;
    try {
      response = await answer(request, env, requestId);
    } catch (error) {
      console.error(JSON.stringify({ severity: "ERROR", message: String(error), request_id: requestId }));
      response = problem(503, "The service cannot be reached. Try again in a moment.", requestId);
    }
    return dressed(response, requestId);
  },
};

async function answer(request, env, requestId) {
  const url = new URL(request.url);
  const owner = ownerOf(url.pathname, settings(env).routes);
  if (owner === null) {
    return problem(404, `There is nothing at ${url.pathname}.`, requestId);
  }
  const response = await passOn(await signed(request, url, owner, env, requestId), settings(env).timeoutSeconds);
  if (PLATFORM_FAILURES.has(response.status) && !isJson(response)) {
    await response.body?.cancel();
    return problem(response.status, PLATFORM_FAILURES.get(response.status), requestId, wholeSeconds(response));
  }
  return response;
}

// The function that owns a path, or null. The method is not looked at: a function answers 405 to one that it lacks.
function ownerOf(path, routes) {
  return routes.find(({ pattern }) => pattern.test(path))?.owner ?? null;
}

async function signed(request, url, owner, env, requestId) {
  const origin = settings(env).origins[owner];
  const secret = env[`EDGE_SECRET_${owner.toUpperCase().replaceAll("-", "_")}`];
  if (!origin || !secret) {
    throw new Error(`no origin or no secret is bound for ${owner}`);
  }
  const target = new URL(origin);
  // Both as they came, never decoded: the function checks the signature over the bytes that reach it.
  target.pathname = url.pathname;
  target.search = url.search;

  const timestamp = Math.floor(Date.now() / 1000).toString();
  const client = request.headers.get("CF-Connecting-IP") ?? "";
  const message = [
    SIGNATURE_VERSION,
    timestamp,
    requestId,
    request.method,
    url.host,
    target.pathname + target.search,
    client,
  ].join("\n");

  const headers = new Headers(request.headers);
  for (const name of [...headers.keys()].filter((name) => RESERVED.test(name))) {
    headers.delete(name);
  }
  headers.set("X-Edge-Timestamp", timestamp);
  headers.set("X-Edge-Request-Id", requestId);
  headers.set("X-Edge-Client", client);
  headers.set("X-Edge-Host", url.host);
  headers.set("X-Edge-Signature", await hmac(secret.split(" ")[0], message));
  // A GET may not carry a body here, though some clients send one.
  const body = BODILESS.has(request.method) ? null : request.body;
  // Without "no-store" Cloudflare may keep an answer whose path ends as a file's name does, and give it to another caller.
  return new Request(target, { method: request.method, headers, body, redirect: "manual", cache: "no-store" });
}

// Waits for the function to begin its answer; once it has, the body may stream for as long as it takes.
async function passOn(request, timeoutSeconds) {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(new Error("the function did not answer in time")), timeoutSeconds * 1000);
  try {
    return await fetch(request, { signal: patience.signal });
  } finally {
    clearTimeout(timer);
  }
}

async function hmac(secret, message) {
  const text = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", text.encode(secret), algorithm, false, ["sign"]);
  const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, text.encode(message)));
  return Array.from(signature, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function problem(status, detail, requestId, retryAfterSeconds = RETRY_AFTER_SECONDS) {
  const body = { type: "about:blank", title: TITLES[status], status, detail, request_id: requestId };
  const headers = { "Content-Type": "application/problem+json", "Cache-Control": "no-store" };
  if (status >= 429) {
    headers["Retry-After"] = String(retryAfterSeconds);
  }
  return new Response(JSON.stringify(body), { status, headers });
}

// Every answer, whoever made it, says which request it was and how a browser may treat it.
function dressed(response, requestId) {
  const result = new Response(response.body, response);
  result.headers.set("X-Request-Id", requestId);
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
    // A page of a function's own names what it may load; everything else may load nothing.
    if (!(name === "Content-Security-Policy" && result.headers.has(name))) {
      result.headers.set(name, value);
    }
  }
  return result;
}

function isJson(response) {
  return /^application\/([a-z.-]+\+)?json\b/i.test(response.headers.get("Content-Type") ?? "");
}

function wholeSeconds(response) {
  const text = response.headers.get("Retry-After") ?? "";
  return /^\d+$/.test(text) ? Number(text) : RETRY_AFTER_SECONDS;
}

// Bindings are texts; each instance of the Worker parses them once.
let parsed = null;

function settings(env) {
  parsed ??= {
    routes: JSON.parse(env.ROUTES).map(([, path, owner]) => ({ pattern: patternOf(path), owner })),
    origins: JSON.parse(env.ORIGINS),
    timeoutSeconds: Number(env.TIMEOUT_SECONDS),
  };
  return parsed;
}

function patternOf(path) {
  const segment = (text) => (/^\{\w+\}$/.test(text) ? "[^/]+" : text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${path.split("/").map(segment).join("/")}$`);
}
