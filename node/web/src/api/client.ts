import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

/** What the server says when something was not done. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly remedy: string;
  readonly field?: string;

  constructor(status: number, code: string, message: string, remedy = "", field?: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.remedy = remedy;
    this.field = field;
  }
}

type Method = "get" | "post" | "put" | "delete";
type Json<R> = R extends { content: { "application/json": infer T } } ? T : undefined;
type Answer<O> = O extends { responses: infer R }
  ? R extends { 200: infer A }
    ? Json<A>
    : R extends { 201: infer A }
      ? Json<A>
      : undefined
  : never;
type Body<O> = O extends { requestBody: { content: { "application/json": infer T } } } ? T : never;
type Query<O> = O extends { parameters: { query?: infer T } } ? T : never;

interface Options<O> {
  /** Values of `{parameters}` in the path. */
  at?: Record<string, string | number>;
  query?: Query<O>;
  body?: Body<O>;
}

/** One call of the admin API, typed by its OpenAPI document. */
export async function api<P extends keyof paths, M extends Method & keyof paths[P]>(
  method: M,
  path: P,
  options: Options<paths[P][M]> = {},
): Promise<Answer<paths[P][M]>> {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(options.at?.[name] ?? "")));
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options.query ?? {})) {
    if (value !== undefined && value !== null && value !== "") query.set(name, String(value));
  }
  const search = query.size > 0 ? `?${query}` : "";
  return request(method, `${filled}${search}`, options.body);
}

/** A call outside the OpenAPI document, or with a body that is not JSON. */
export async function request<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await raw(method, path, body);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}

/** The response itself, for streams. Fails with a [Problem] unless it is a success. */
export async function raw(method: string, path: string, body?: unknown): Promise<Response> {
  const headers: Record<string, string> = { "X-Posthouse-Request": "1" };
  const binary = body instanceof Blob;
  if (body !== undefined) headers["Content-Type"] = binary ? "application/octet-stream" : "application/json";
  const content = body === undefined ? undefined : binary ? body : JSON.stringify(body);
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, { method: method.toUpperCase(), headers, body: content });
  } catch {
    throw new Problem(0, "unreachable", "The node does not answer.", "Check the connection and try again.");
  }
  if (!response.ok) throw await problem(response);
  return response;
}

async function problem(response: Response): Promise<Problem> {
  try {
    const it = (await response.json()) as Schemas["Problem"];
    return new Problem(it.status, it.code, sentence(it.message), sentence(it.remedy ?? ""), it.field ?? undefined);
  } catch {
    return new Problem(response.status, "unknown", `The node answered with status ${response.status}.`);
  }
}

/** A text of the server as a sentence. */
export function sentence(text: string): string {
  if (text === "") return text;
  // Names of hosts and settings stay as they are.
  const upper = /^[a-z-]+(\s|$)/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}
