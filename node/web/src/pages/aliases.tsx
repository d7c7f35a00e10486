import { Stack, Textarea } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas } from "../api/client";
import { lines } from "../format";
import { AccountFields, AccountsPage, accountForm, accountInput, fieldError, newAccount } from "../parts/accounts";
import { Editor } from "../parts/editor";
import { RemoveButton } from "../parts/remove";
import { useFound } from "../parts/found";
import { useRights } from "../session";

type Alias = Schemas["AliasView"];

export function AliasesPage() {
  return (
    <AccountsPage<Alias>
      title="Aliases"
      about="Other names for mail addresses. * stands for any characters, ? for one; an exact name comes before a pattern."
      kind="aliases"
      add="Add an alias"
      load={(query) => api("get", "/aliases", { query })}
      columns={[
        { title: "Alias", cell: (alias) => alias.mail },
        { title: "Delivers to", cell: (alias) => alias.targets.join(", ") },
        { title: "Description", cell: (alias) => alias.description || "—" },
      ]}
      editor={(opened, close) => <Loader id={opened.id} close={close} />}
    />
  );
}

function Loader({ id, close }: { id?: string; close: () => void }) {
  const found = useFound("aliases", id, (at) => api("get", "/aliases/{id}", { at }), "Alias", close);
  if (!id) return <AliasEditor close={close} />;
  return found.data ? <AliasEditor key={found.data.changed} before={found.data} close={close} /> : found.waiting;
}

function AliasEditor({ before, close }: { before?: Alias; close: () => void }) {
  const queries = useQueryClient();
  const readOnly = !useRights().changeAccounts;
  const [account, setAccount] = useState(before ? accountForm(before) : { ...newAccount, published: false });
  const [targets, setTargets] = useState(before?.targets.join("\n") ?? "");
  const save = useMutation({
    mutationFn: () => {
      const body = { ...accountInput(account, before), targets: lines(targets) };
      return before ? api("put", "/aliases/{id}", { at: { id: before.id }, body }) : api("post", "/aliases", { body });
    },
    onSuccess: async () => {
      close();
      await queries.invalidateQueries();
    },
  });
  return (
    <Editor title={before ? before.mail : "Add an alias"} opened onClose={close} busy={save.isPending} error={save.error}
      onSave={readOnly ? undefined : () => save.mutate()}
      extra={before && !readOnly && (
        <RemoveButton what={before.mail} consequence="Mail for this name is then refused, unless another alias matches." onRemoved={close}
          remove={() => api("delete", "/aliases/{id}", { at: { id: before.id } })} />
      )}>
      <Stack>
        <AccountFields form={account} set={setAccount} before={before} error={save.error} readOnly={readOnly} nameLabel="Alias"
          nameHelp="The part before the @. A single * catches everything that nobody else has." withDisplayName={false} />
        <Textarea label="Delivers to" description="One in each line: names in the same domain, or full addresses anywhere." required
          value={targets} readOnly={readOnly} autosize minRows={2} onChange={(e) => setTargets(e.currentTarget.value)}
          error={fieldError(save.error, "targets")} autoCapitalize="none" spellCheck={false} />
      </Stack>
    </Editor>
  );
}
