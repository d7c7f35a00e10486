import { Stack } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas } from "../api/client";
import { AccountFields, AccountsPage, accountForm, accountInput, newAccount, PublishedSwitch } from "../parts/accounts";
import { Editor } from "../parts/editor";
import { useFound } from "../parts/found";
import { newPerson, PersonFields } from "../parts/person";
import { RemoveButton } from "../parts/remove";
import { useRights } from "../session";

type Contact = Schemas["ContactView"];

export function ContactsPage() {
  return (
    <AccountsPage<Contact>
      title="Contacts"
      about="People without a mailbox here whom the company’s address book shows."
      kind="contacts"
      add="Add a contact"
      load={(query) => api("get", "/contacts", { query })}
      columns={[
        { title: "Name", cell: (contact) => contact.display_name || contact.name },
        { title: "Address", cell: (contact) => contact.mail || "—" },
        { title: "Telephone", cell: (contact) => contact.person.phone || contact.person.mobile || "—" },
        { title: "Company", cell: (contact) => contact.person.company || "—" },
      ]}
      editor={(opened, close) => <Loader id={opened.id} close={close} />}
    />
  );
}

function Loader({ id, close }: { id?: string; close: () => void }) {
  const found = useFound("contacts", id, (at) => api("get", "/contacts/{id}", { at }), "Contact", close);
  if (!id) return <ContactEditor close={close} />;
  return found.data ? <ContactEditor key={found.data.changed} before={found.data} close={close} /> : found.waiting;
}

function ContactEditor({ before, close }: { before?: Contact; close: () => void }) {
  const queries = useQueryClient();
  const readOnly = !useRights().changeAccounts;
  const [account, setAccount] = useState(before ? accountForm(before) : newAccount);
  const [person, setPerson] = useState<Schemas["PersonView"]>(before?.person ?? newPerson);
  const save = useMutation({
    mutationFn: () => {
      const body = { ...accountInput(account, before), person };
      return before ? api("put", "/contacts/{id}", { at: { id: before.id }, body }) : api("post", "/contacts", { body });
    },
    onSuccess: async () => {
      close();
      await queries.invalidateQueries();
    },
  });
  return (
    <Editor title={before ? before.display_name || before.name : "Add a contact"} opened onClose={close} busy={save.isPending} error={save.error}
      onSave={readOnly ? undefined : () => save.mutate()}
      extra={before && !readOnly && !before.mapped && (
        <RemoveButton what={before.display_name || before.name} consequence="The address book no longer shows this person." onRemoved={close}
          remove={() => api("delete", "/contacts/{id}", { at: { id: before.id } })} />
      )}>
      <Stack>
        <AccountFields form={account} set={setAccount} before={before} error={save.error} readOnly={readOnly} nameLabel="Short name"
          nameHelp="Unique in the domain." withAddresses="The address where this person gets mail." />
        <PersonFields person={person} set={setPerson} readOnly={readOnly || Boolean(before?.mapped)} error={save.error} />
        <PublishedSwitch form={account} set={setAccount} readOnly={readOnly} />
      </Stack>
    </Editor>
  );
}
