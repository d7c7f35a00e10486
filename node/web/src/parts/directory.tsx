import { PasswordInput, Select, Textarea, TextInput } from "@mantine/core";

import { lines } from "../format";
import { fieldError } from "./accounts";

/** How an Active Directory is reached, as a form holds it. Used by the set-up and by the page of directories. */
export interface DirectoryForm {
  directory_domain: string;
  controllers: string;
  tls: "ldaps" | "start_tls";
  ca: string;
  bind_name: string;
  bind_password: string;
  base: string;
  user_filter: string;
}

export const newDirectory: DirectoryForm = {
  directory_domain: "", controllers: "", tls: "ldaps", ca: "", bind_name: "", bind_password: "", base: "", user_filter: "",
};

export function directoryInput(form: DirectoryForm) {
  return {
    directory_domain: form.directory_domain.trim(),
    controllers: lines(form.controllers),
    tls: form.tls,
    ca: form.ca.trim(),
    bind_name: form.bind_name.trim(),
    bind_password: form.bind_password,
    base: form.base.trim(),
    user_filter: form.user_filter.trim(),
  };
}

export function DirectoryFields(props: {
  form: DirectoryForm;
  set: (form: DirectoryForm) => void;
  readOnly: boolean;
  error: unknown;
  passwordHelp?: string;
}) {
  const { form, set, readOnly, error } = props;
  const text = (field: keyof DirectoryForm) => ({
    value: form[field],
    readOnly,
    error: fieldError(error, field),
    onChange: (e: { currentTarget: { value: string } }) => set({ ...form, [field]: e.currentTarget.value }),
  });
  return (
    <>
      <TextInput label="Active Directory domain" description="Its DNS name, such as ad.example.com" required autoCapitalize="none" spellCheck={false}
        {...text("directory_domain")} />
      <TextInput label="Account to read with" description="Such as reader@ad.example.com; it needs no more than to read" required
        autoCapitalize="none" spellCheck={false} autoComplete="off" {...text("bind_name")} />
      <PasswordInput label="Its password" description={props.passwordHelp} autoComplete="new-password" {...text("bind_password")} />
      <Textarea label="Domain controllers" description="One in each line; empty: found by DNS" autosize minRows={1} autoCapitalize="none"
        spellCheck={false} {...text("controllers")} />
      <Select label="Protection of the connection" allowDeselect={false} disabled={readOnly} value={form.tls}
        data={[{ value: "ldaps", label: "LDAPS (port 636)" }, { value: "start_tls", label: "StartTLS (port 389)" }]}
        onChange={(tls) => set({ ...form, tls: (tls ?? "ldaps") as DirectoryForm["tls"] })} />
      <Textarea label="Certificate authority" description="PEM text of the authority that issued the controllers’ certificates; empty: those of this system"
        autosize minRows={2} maxRows={8} spellCheck={false} {...text("ca")} />
      <TextInput label="Where to search" description="Such as OU=Staff,DC=ad,DC=example,DC=com; empty: everywhere" {...text("base")} />
      <TextInput label="Only users that match" description="LDAP filter; empty: all" spellCheck={false} {...text("user_filter")} />
    </>
  );
}
