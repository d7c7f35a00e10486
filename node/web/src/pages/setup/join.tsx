import { Table, Text, Textarea, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";

import { request } from "../../api/client";
import type { SetupCode, SetupJoinCode } from "../../api/setup";
import { lines } from "../../format";
import { fieldError } from "../../parts/accounts";
import type { StepProps } from "./wizard";

/** The invitation, and how this node is called and reached. An altered code is noticed here, before anything is sent to anybody. */
export function JoinStep({ answers, set, error }: StepProps) {
  const typed = answers.code.trim();
  const [code] = useDebouncedValue(typed, 250);
  const check = useQuery({
    queryKey: ["join-code", code],
    queryFn: () => request<SetupJoinCode>("post", "/setup/join-code", { code } satisfies SetupCode),
    enabled: code !== "",
    retry: false,
    gcTime: 0,
  });
  const addresses = check.data?.addresses;
  const isNew = addresses !== undefined && code === typed && answers.known?.code !== code;
  useEffect(() => {
    if (isNew) set({ ...answers, known: { code, addresses } });
  });
  const right = answers.known?.code === typed && typed !== "";
  return (
    <>
      <Text>On a node of the cluster, “Invite a node” on the page Cluster or <code>posthouse cluster invite</code> makes a code. It works once.</Text>
      <Textarea label="Code" value={answers.code} required autosize minRows={2} onChange={(e) => set({ ...answers, code: e.currentTarget.value })}
        error={(code === typed && check.error?.message) || fieldError(error, "join")} description={right ? undefined : "Capital letters and spaces do not matter."}
        autoCapitalize="characters" autoComplete="off" spellCheck={false} classNames={{ input: "code" }} />
      {right && <Text size="sm" c="green" role="status">The code is complete. This node will knock at {answers.known?.addresses.join(", ")}.</Text>}
      <TextInput label="Host name of this node" description="The full name by which mail programs and browsers reach it, such as mail2.example.com"
        value={answers.host} required onChange={(e) => set({ ...answers, host: e.currentTarget.value, checks: null })}
        error={fieldError(error, "host")} autoCapitalize="none" spellCheck={false} />
      <TextInput label="Site" description="Where it stands. Nodes of one site keep copies of each other’s mailboxes." placeholder="the site of the node that answers"
        value={answers.site} maxLength={64} onChange={(e) => set({ ...answers, site: e.currentTarget.value })} error={fieldError(error, "site")} />
      <Textarea label="Addresses of this node" description="Where other nodes reach it, one in each line with the port. Left empty, it finds them out." placeholder="10.1.0.2:4041"
        value={answers.links} autosize minRows={1} onChange={(e) => set({ ...answers, links: e.currentTarget.value })} error={fieldError(error, "links[0]")}
        autoCapitalize="none" spellCheck={false} />
    </>
  );
}

export function JoinSummaryStep({ answers }: StepProps) {
  const rows: [string, string][] = [
    ["Joins through", answers.known?.addresses.join(", ") ?? ""],
    ["Host name", answers.host.trim()],
    ["Site", answers.site.trim() || "as the node that answers"],
    ["Addresses", lines(answers.links).join(", ") || "found out"],
  ];
  return (
    <>
      <Text>Nothing has been written or sent so far. “Join now” shows the code to the cluster and makes this node one of it.</Text>
      <Table aria-label="Summary">
        <Table.Tbody>
          {rows.map(([label, value]) => (
            <Table.Tr key={label}><Table.Th w="40%">{label}</Table.Th><Table.Td className="wrap">{value}</Table.Td></Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </>
  );
}
