// Calls supabase-js for a test. In: lines of {client, url, key, auth} that make a client, or {client, path, args} that
// call it. Out: {value}, or {fault}. The package is found from argv[2], a node_modules.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { createClient } = createRequire(`${process.argv[2]}/`)("@supabase/supabase-js");
const clients = new Map();

function memory() {
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
}

// An Error's properties are not its own, so JSON would leave them out.
function shown(_, item) {
  if (!(item instanceof Error)) return item;
  const { name, message, status, code, reasons } = item;
  return { name, message, status, code, reasons };
}

async function answer({ client, url, key, auth, path, args }) {
  if (url) {
    clients.set(client, createClient(url, key, { auth: { autoRefreshToken: false, storage: memory(), ...auth } }));
    return null;
  }
  let target = clients.get(client);
  for (const name of path.slice(0, -1)) target = target[name];
  return target[path.at(-1)](...args);
}

for await (const line of createInterface({ input: process.stdin })) {
  let result;
  try {
    result = { value: await answer(JSON.parse(line)) };
  } catch (error) {
    result = { fault: String(error.stack) };
  }
  console.log(JSON.stringify(result, shown));
}
