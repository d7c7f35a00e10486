import { CloseButton, Combobox, Group, Paper, Stack, Text, TextInput, useCombobox } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas } from "../api/client";

type Member = Schemas["Member"];

async function candidates(search: string): Promise<Member[]> {
  const query = { search, limit: 8 };
  const [users, groups, contacts] = await Promise.all([
    api("get", "/users", { query }),
    api("get", "/groups", { query }),
    api("get", "/contacts", { query }),
  ]);
  const member = (kind: Member["kind"]) => (account: Schemas["AccountView"]): Member => ({
    id: account.id, kind, name: account.name, display_name: account.display_name, mail: account.mail,
  });
  return [
    ...users.items.map(member("user")),
    ...groups.items.map(member("group")),
    ...contacts.items.map(member("contact")),
  ];
}

/** Members of a group: found by typing, removed one by one. */
export function Members(props: { members: Member[]; set: (members: Member[]) => void; readOnly: boolean; self?: string }) {
  const combobox = useCombobox({ onDropdownClose: () => combobox.resetSelectedOption() });
  const [search, setSearch] = useState("");
  const [wanted] = useDebouncedValue(search.trim(), 200);
  const found = useQuery({ queryKey: ["candidates", wanted], queryFn: () => candidates(wanted), enabled: wanted !== "" });
  const taken = new Set([props.self, ...props.members.map((member) => member.id)]);
  const options = (found.data ?? []).filter((member) => !taken.has(member.id));
  const add = (id: string) => {
    const member = options.find((one) => one.id === id);
    if (member) props.set([...props.members, member]);
    setSearch("");
    combobox.closeDropdown();
  };
  return (
    <Stack gap="xs">
      {!props.readOnly && (
        <Combobox store={combobox} onOptionSubmit={add}>
          <Combobox.Target>
            <TextInput label="Add a member" placeholder="Type a part of the name or address" value={search}
              onChange={(e) => {
                setSearch(e.currentTarget.value);
                combobox.openDropdown();
                combobox.updateSelectedOptionIndex();
              }}
              onFocus={() => combobox.openDropdown()} onBlur={() => combobox.closeDropdown()} />
          </Combobox.Target>
          <Combobox.Dropdown hidden={wanted === ""}>
            <Combobox.Options>
              {options.map((member) => (
                <Combobox.Option key={member.id} value={member.id}>
                  {member.display_name || member.name} <Text span size="sm" c="dimmed">{member.mail || member.kind}</Text>
                </Combobox.Option>
              ))}
              {options.length === 0 && <Combobox.Empty>{found.isFetching ? "Searching …" : "Nobody else matches"}</Combobox.Empty>}
            </Combobox.Options>
          </Combobox.Dropdown>
        </Combobox>
      )}
      <Paper withBorder mah={260} p="xs" component="ul" aria-label="Members" m={0} className="members">
        {props.members.length === 0 && <Text size="sm" c="dimmed" component="li">No members</Text>}
        {props.members.map((member) => (
          <Group key={member.id} component="li" justify="space-between" wrap="nowrap">
            <Text size="sm" className="wrap">
              {member.display_name || member.name} <Text span c="dimmed">{member.mail || member.kind}</Text>
            </Text>
            {!props.readOnly && (
              <CloseButton aria-label={`Remove ${member.display_name || member.name} from the group`}
                onClick={() => props.set(props.members.filter((one) => one.id !== member.id))} />
            )}
          </Group>
        ))}
      </Paper>
    </Stack>
  );
}
