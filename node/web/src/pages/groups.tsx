import { Select, Stack, Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas } from "../api/client";
import { AccountFields, AccountsPage, accountForm, accountInput, newAccount, PublishedSwitch } from "../parts/accounts";
import { Editor } from "../parts/editor";
import { ProblemAlert } from "../parts/feedback";
import { Members } from "../parts/members";
import { RemoveButton } from "../parts/remove";
import { RIGHTS, rightsLabel, useRights } from "../session";

type Detail = Schemas["GroupDetail"];

export function GroupsPage() {
  return (
    <AccountsPage<Schemas["GroupView"]>
      title="Groups"
      about="One address for several people, and one place to give them rights. Groups may contain groups."
      kind="groups"
      add="Add a group"
      load={(query) => api("get", "/groups", { query })}
      columns={[
        { title: "Name", cell: (group) => group.name },
        { title: "Address", cell: (group) => group.mail || "—" },
        { title: "Members", cell: (group) => group.member_count },
        { title: "Kind", cell: (group) => (group.mapped ? "Directory" : "Local") },
        { title: "Administers", cell: (group) => (group.rights === "none" ? "—" : rightsLabel(group.rights)) },
      ]}
      editor={(opened, close) => (opened.id ? <Existing id={opened.id} close={close} /> : <GroupEditor close={close} />)}
    />
  );
}

function Existing({ id, close }: { id: string; close: () => void }) {
  const query = useQuery({ queryKey: ["groups", id], queryFn: () => api("get", "/groups/{id}", { at: { id } }), gcTime: 0 });
  if (!query.data) {
    return <Editor title="Group" opened onClose={close}>{query.error ? <ProblemAlert error={query.error} /> : <Text>Loading …</Text>}</Editor>;
  }
  return <GroupEditor key={query.data.changed} before={query.data} close={close} />;
}

function GroupEditor({ before, close }: { before?: Detail; close: () => void }) {
  const queries = useQueryClient();
  const readOnly = !useRights().changeAccounts;
  const [account, setAccount] = useState(before ? accountForm(before) : newAccount);
  const [members, setMembers] = useState(before?.members ?? []);
  const [rights, setRights] = useState<Schemas["RightsName"]>(before?.rights ?? "none");
  const save = useMutation({
    mutationFn: () => {
      const body = { ...accountInput(account, before), members: members.map((member) => member.id), rights };
      return before ? api("put", "/groups/{id}", { at: { id: before.id }, body }) : api("post", "/groups", { body });
    },
    onSuccess: async () => {
      close();
      await queries.invalidateQueries();
    },
  });
  return (
    <Editor title={before ? before.name : "Add a group"} opened onClose={close} busy={save.isPending} error={save.error}
      onSave={readOnly ? undefined : () => save.mutate()}
      extra={before && !readOnly && !before.mapped && (
        <RemoveButton what={before.name} consequence="Its members stay, and lose the rights that the group gave them." onRemoved={close}
          remove={() => api("delete", "/groups/{id}", { at: { id: before.id } })} />
      )}>
      <Stack>
        <AccountFields form={account} set={setAccount} before={before} error={save.error} readOnly={readOnly} nameLabel="Name"
          withAddresses="One in each line. Without an address the group gets no mail." />
        <Members members={members} set={setMembers} readOnly={readOnly || Boolean(before?.mapped)} self={before?.id} />
        <Select label="Members may administer" data={RIGHTS} value={rights} allowDeselect={false} disabled={readOnly}
          onChange={(value) => setRights((value ?? "none") as Schemas["RightsName"])} />
        <PublishedSwitch form={account} set={setAccount} readOnly={readOnly} />
      </Stack>
    </Editor>
  );
}
