// Rules about who can reach the nodes and as whom, and about the embedding endpoint. Secrets themselves
// are never looked at here (secrets.ts resolves them), and never repeated.

import { isLoopback } from "./address.ts";
import { ENGINE_CAPABILITIES } from "./capabilities.ts";
import { shown } from "./raw.ts";
import type { Path } from "./raw.ts";
import { counted, isGiven, onLine } from "./rules.ts";
import type { Rules } from "./rules.ts";

export function checkSecurity(rules: Rules): void {
  checkExposure(rules);
  checkTokens(rules);
  checkPassword(rules);
  checkEmbedding(rules);
}

/** Whoever listens where others can reach it needs both: TLS, so that a token is not overheard, and a token. */
function checkExposure(rules: Rules): void {
  const { nodes, spec, report } = rules;
  if (spec.engine === undefined) return;
  const byPassword = ENGINE_CAPABILITIES[spec.engine].authentication === "password";
  // What somebody else runs may be protected in ways that cannot be seen from here: it is asked, not judged.
  const exposed = nodes.filter(
    ({ listen, draft }) =>
      listen !== undefined && !isLoopback(listen.host) && !(byPassword && draft.manage !== "spawn"),
  );
  const [first] = exposed;
  if (first === undefined) return;
  const tls = isGiven(rules, ["spec", "security", "tls"]);
  const tokens = byPassword
    ? isGiven(rules, ["spec", "security", "password"])
    : spec.security?.tokens === undefined || spec.security.tokens.length > 0;
  if (tls && tokens) return;
  const secret = byPassword ? "a password" : "a token";
  const others = exposed.length === 1 ? "" : ` and ${counted(exposed.length - 1, "other node")}`;
  const missing = [tls ? [] : "TLS", tokens ? [] : secret].flat().join(" and ");
  report({
    code: "exposed-without-security",
    path: [...first.path, first.draft.listen === undefined ? "address" : "listen"],
    message: `${first.draft.id ?? "the node"}${others} can be reached from other machines (${shown(first.draft.listen ?? first.draft.address ?? "")}), but ${missing} ${tls || tokens ? "is" : "are"} not set`,
    hint: `set spec.security.tls { cert, key, ca } and ${byPassword ? "spec.security.password by file or env" : "spec.security.tokens with an admin token"}, or use 127.0.0.1`,
  });
}

/** A password belongs to engines whose servers ask for one. */
function checkPassword(rules: Rules): void {
  const { spec, report } = rules;
  if (spec.engine === undefined) return;
  const { authentication } = ENGINE_CAPABILITIES[spec.engine];
  for (const field of ["user", "password"] as const) {
    const path: Path = ["spec", "security", field];
    if (authentication === "password" || !isGiven(rules, path)) continue;
    report({
      code: "setting-of-another-engine",
      path,
      message: `${field} belongs to engines that log in with a password; clients of ${spec.engine} bring tokens`,
      hint: `remove ${field}, and set spec.security.tokens`,
    });
  }
  if (authentication !== "password" || spec.security?.user === undefined) return;
  if (isGiven(rules, ["spec", "security", "password"])) return;
  report({
    code: "missing-field",
    path: ["spec", "security", "password"],
    message: "the user needs a password",
    hint: "set spec.security.password: { env: NAME } or { file: PATH }",
  });
}

function checkTokens(rules: Rules): void {
  const tokens = rules.spec.security?.tokens;
  if (tokens === undefined) return;
  const path: Path = ["spec", "security", "tokens"];
  const first = new Map<string, number>();
  for (const [index, token] of tokens.entries()) {
    if (token?.name === undefined) continue;
    const earlier = first.get(token.name);
    if (earlier === undefined) first.set(token.name, index);
    else {
      rules.report({
        code: "duplicate-token-name",
        path: [...path, index, "name"],
        message: `tokens[${index}]${onLine(rules, [...path, index, "name"])} has the name of tokens[${earlier}]${onLine(rules, [...path, earlier, "name"])}`,
        hint: "give every token a name of its own",
      });
    }
  }
  const usable = tokens.some(
    (token) =>
      token === undefined ||
      token.role === undefined ||
      (token.role === "admin" && token.sha256 === undefined),
  );
  if (tokens.length === 0 || usable) return;
  rules.report({
    code: "no-admin-token",
    path,
    message: "none of the tokens is an admin token by file or env; nodes use one between themselves",
    hint: "add { name: nodes, role: admin, env: MEM0CTL_ADMIN_TOKEN }",
  });
}

function checkEmbedding(rules: Rules): void {
  const { spec, report } = rules;
  const { provider, url, apiKey } = spec.embedding ?? {};
  if (provider === undefined) return;
  const base: Path = ["spec", "embedding"];
  for (const field of ["url", "model", "apiKey"] as const) {
    const given = isGiven(rules, [...base, field]);
    if (provider !== "openai" && given) {
      report({
        code: "setting-of-another-provider",
        path: [...base, field],
        message: `${field} belongs to the embedding provider openai, but the provider is ${provider}`,
        hint: `set provider: openai, or remove ${field}`,
      });
    } else if (provider === "openai" && !given && field !== "apiKey") {
      report({
        code: "missing-field",
        path: [...base, field],
        message: `the embedding provider openai needs ${field}`,
      });
    }
  }
  if (url === undefined) return;
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || (parsed.protocol !== "https:" && parsed.protocol !== "http:")) {
    report({
      code: "invalid-url",
      path: [...base, "url"],
      message: "url is not an http or https URL",
      hint: "write the base URL of the endpoint, up to and with /v1",
    });
  } else if (parsed.username !== "" || parsed.password !== "") {
    report({
      code: "inline-secret",
      path: [...base, "url"],
      message: "url holds a user name or password",
      hint: "remove it and refer to the key by apiKey: { file } or { env }",
    });
  } else if (
    parsed.protocol === "http:" &&
    apiKey !== undefined &&
    !isLoopback(parsed.hostname.replace(/^\[|\]$/g, ""))
  ) {
    report({
      code: "api-key-unencrypted",
      severity: "warning",
      path: [...base, "url"],
      message: "the API key would go over the network unencrypted",
      hint: "use https",
    });
  }
}
