// The contract of the set-up pages with /api/v1/setup. JSON everywhere; errors are the same problem documents as those of
// the admin API (application/problem+json): { status, code, message, remedy }.
// All requests but GET carry the header `X-Posthouse-Request: 1`. The cookie of POST /code is
// `__Host-posthouse-setup`, Secure, HttpOnly, SameSite=Strict, Path=/.

/** GET /api/v1/setup  → SetupState. Never needs the cookie. `form` only for the browser that has the cookie; others see `code`. */
export interface SetupState {
  stage: "code" | "form" | "done";
  /** Version of the program. */
  version: string;
  /** Suggestions for the form; only with stage "form". */
  suggestions?: { host: string; mail_domain: string; data_folder: string };
  /** With stage "done": where to go. */
  address?: string;
  /** With stage "code" after failures: attempts left, or seconds until the next one. */
  attempts_left?: number;
  wait_seconds?: number;
}

/** POST /api/v1/setup/code  → 204 and cookie; 403 {code:"wrong_code"}, 409 {code:"in_use"} when another browser has the session, 429. */
export interface SetupCode { code: string }

/** POST /api/v1/setup/checks (body {} or the answers so far) → SetupCheck[] */
export interface SetupChecksRequest { host?: string; mail_domain?: string }
export interface SetupCheck {
  /** Stable key, such as "clock", "dns", "disk", "ports". */
  name: string;
  /** Title in words, such as "Clock". */
  title: string;
  /** "ok", "warning": may go on; "failed": set-up would not work. */
  result: "ok" | "warning" | "failed";
  detail: string;
  /** What to do; empty when ok. */
  remedy: string;
}

/** Active Directory, as in the answers. */
export interface SetupDirectory {
  /** DNS name of the AD domain, such as ad.example.test. */
  directory_domain: string;
  /** host or host:port; empty: found by SRV records. */
  controllers: string[];
  tls: "ldaps" | "start_tls";
  /** PEM of the CA; empty: the system's. */
  ca: string;
  bind_name: string;
  bind_password: string;
  base: string;
  user_filter: string;
}

/** POST /api/v1/setup/directory-test with SetupDirectory → SetupPreview. Nothing is written. 422 {message, remedy} if it fails. */
export interface SetupPreview {
  controller: string;
  users: number;
  groups: number;
  contacts: number;
  /** At most 50 of what would be mapped. */
  sample: { kind: "user" | "group" | "contact"; name: string; display_name: string; mail: string; state: string }[];
  /** What stands out: double addresses, accounts without mail. */
  warnings: string[];
}

/** POST /api/v1/setup/apply → SetupDone. 422 with `field` in the problem where one is to blame. */
export interface SetupAnswers {
  choice: "new_domain";
  mail_domain: string;
  host: string;
  data_folder?: string;
  administrator: { name: string; display_name: string; password: string };
  directory: SetupDirectory | null;
}

/** POST /api/v1/setup/join-code with SetupCode → what is in an invitation, without asking anybody. 422 {field:"join"} if it was altered. */
export interface SetupJoinCode { addresses: string[] }

/** POST /api/v1/setup/join → SetupDone. 422 with the reason when the cluster refuses; the same code may be tried again. */
export interface SetupJoin {
  /** The code of the invitation. */
  code: string;
  host: string;
  /** Empty: the site of the node that answers. */
  site: string;
  /** host:port where other nodes reach this one; empty: found out. */
  links: string[];
}
export interface SetupDone {
  done: true;
  /** Where the administrator signs on, such as https://mail.example.test/. */
  address: string;
  /** First steps afterwards, one sentence each (DNS records and the like); may be empty. */
  next: string[];
}
