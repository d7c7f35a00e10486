import type { SetupAnswers, SetupCheck, SetupJoin, SetupState } from "../../api/setup";
import { lines } from "../../format";
import { type DirectoryForm, directoryInput, newDirectory } from "../../parts/directory";
import { passwordProblem } from "../../parts/password";

/** What the wizard has learned so far. Lives only in this page: nothing is stored in the browser. */
export interface Answers {
  choice: "new_domain" | "join";
  /** The invitation's code, as it was typed. */
  code: string;
  /** The last code that was found to be one, and the addresses in it. */
  known: { code: string; addresses: string[] } | null;
  site: string;
  links: string;
  mail_domain: string;
  host: string;
  checks: SetupCheck[] | null;
  name: string;
  display_name: string;
  password: string;
  again: string;
  withDirectory: boolean;
  directory: DirectoryForm;
}

export function firstAnswers(state: SetupState): Answers {
  return {
    choice: "new_domain",
    code: "",
    known: null,
    site: "",
    links: "",
    mail_domain: state.suggestions?.mail_domain ?? "",
    host: state.suggestions?.host ?? "",
    checks: null,
    name: "admin",
    display_name: "",
    password: "",
    again: "",
    withDirectory: false,
    directory: newDirectory,
  };
}

const NAME = /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/i;

const LINK = /^(\[[0-9a-f:.]+\]|[a-z0-9.-]+):[1-9][0-9]{0,4}$/i;

/** What is missing in each step, in words. */
export const missing = {
  join(answers: Answers): string {
    if (answers.code.trim() === "") return "The code of the invitation is missing.";
    if (answers.known?.code !== answers.code.trim()) return "The code is not right yet: see below it.";
    if (!NAME.test(answers.host.trim())) return "The host name is not a full name, such as mail.example.com.";
    const wrong = lines(answers.links).find((link) => !LINK.test(link));
    return wrong ? `“${wrong}” is no address with a port, such as 10.1.0.2:4041.` : "";
  },
  names(answers: Answers): string {
    if (!NAME.test(answers.mail_domain.trim())) return "The mail domain is not a valid name, such as example.com.";
    if (!NAME.test(answers.host.trim())) return "The host name is not a full name, such as mail.example.com.";
    return "";
  },
  checks(answers: Answers): string {
    if (!answers.checks) return "Wait until the checks are done.";
    if (answers.checks.some((check) => check.result === "failed")) return "Mend what failed, then check again.";
    return "";
  },
  administrator(answers: Answers): string {
    if (!/^[a-z0-9._-]+$/i.test(answers.name.trim())) return "The login name may have letters, digits, dots, hyphens and underscores.";
    const problem = passwordProblem(answers.password, answers.name);
    if (problem) return `The password: ${problem.toLowerCase()}.`;
    if (answers.password !== answers.again) return "The two passwords are not the same.";
    return "";
  },
  directory(answers: Answers): string {
    if (!answers.withDirectory) return "";
    const { directory_domain, bind_name, bind_password } = answers.directory;
    if (!directory_domain.trim() || !bind_name.trim() || !bind_password) return "Domain, account and password of the directory are needed.";
    return "";
  },
};

export function toJoin(answers: Answers): SetupJoin {
  return { code: answers.code.trim(), host: answers.host.trim(), site: answers.site.trim(), links: lines(answers.links) };
}

export function toApi(answers: Answers): SetupAnswers {
  return {
    choice: "new_domain",
    mail_domain: answers.mail_domain.trim(),
    host: answers.host.trim(),
    administrator: { name: answers.name.trim(), display_name: answers.display_name.trim(), password: answers.password },
    directory: answers.withDirectory ? directoryInput(answers.directory) : null,
  };
}
