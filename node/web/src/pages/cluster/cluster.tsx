import { Alert, Badge, Button, Group, List, Paper, SimpleGrid, Stack, Tabs, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas, sentence } from "../../api/client";
import { Loaded } from "../../parts/feedback";
import { Page } from "../../parts/page";
import { useRights } from "../../session";
import { AuthorityPanel } from "./authority";
import { InviteDialog, Invites } from "./invites";
import { LossTable, MatrixTable } from "./matrix";
import { Moves } from "./moves";
import { Nodes } from "./nodes";
import { Stores } from "./stores";

export type Cluster = Schemas["ClusterStatus"];

/** How often the page looks again, in milliseconds. */
export const LIVE = 2_000;

export function useCluster() {
  return useQuery({ queryKey: ["cluster", "status"], queryFn: () => api("get", "/cluster"), refetchInterval: LIVE });
}

export function ClusterPage() {
  const cluster = useCluster();
  const rights = useRights();
  const [inviting, setInviting] = useState(false);
  return (
    <Page title="Cluster" about="The nodes that keep this domain, where mailboxes are, and what would happen if a node were lost."
      actions={rights.full && <Button onClick={() => setInviting(true)}>Invite a node</Button>}>
      <Loaded query={cluster}>{(it) => <ClusterView cluster={it} />}</Loaded>
      {inviting && <InviteDialog close={() => setInviting(false)} />}
    </Page>
  );
}

function ClusterView({ cluster }: { cluster: Cluster }) {
  const waiting = cluster.moves.length;
  return (
    <Stack gap="lg">
      {cluster.warnings.length > 0 && (
        <Alert color="yellow" variant="light" title="Needs attention">
          <List size="sm">{cluster.warnings.map((text) => <List.Item key={text} className="wrap">{sentence(text)}</List.Item>)}</List>
        </Alert>
      )}
      <Summary cluster={cluster} />
      <Tabs defaultValue="nodes">
        <Tabs.List>
          <Tabs.Tab value="nodes">Nodes</Tabs.Tab>
          <Tabs.Tab value="stores">Stores</Tabs.Tab>
          <Tabs.Tab value="reach">Reachability</Tabs.Tab>
          <Tabs.Tab value="moves" rightSection={waiting > 0 && <Badge size="sm" circle>{waiting}</Badge>}>Moves</Tabs.Tab>
          <Tabs.Tab value="invites">Invites</Tabs.Tab>
          <Tabs.Tab value="authority">Certificates</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="nodes" pt="md"><Stack><Nodes cluster={cluster} /><LossTable cluster={cluster} /></Stack></Tabs.Panel>
        <Tabs.Panel value="stores" pt="md"><Stores cluster={cluster} /></Tabs.Panel>
        <Tabs.Panel value="reach" pt="md"><MatrixTable cluster={cluster} /></Tabs.Panel>
        <Tabs.Panel value="moves" pt="md"><Moves /></Tabs.Panel>
        <Tabs.Panel value="invites" pt="md"><Invites /></Tabs.Panel>
        <Tabs.Panel value="authority" pt="md"><AuthorityPanel cluster={cluster} /></Tabs.Panel>
      </Tabs>
      {cluster.planned.length > 0 && (
        <Paper withBorder p="md">
          <Title order={2} size="h4" mb="xs">What comes next by itself</Title>
          <List size="sm">
            {cluster.planned.map((one) => <List.Item key={one.action} className="wrap">{sentence(one.action)} <Text span size="sm" c="dimmed">{sentence(one.reason)}</Text></List.Item>)}
          </List>
        </Paper>
      )}
    </Stack>
  );
}

/** A node as it is called in texts. */
export function nodeName(cluster: Cluster, id: number | null | undefined): string {
  if (id === null || id === undefined) return "nobody";
  const host = cluster.nodes.find((node) => node.id === id)?.host;
  return host ? `${id} (${host.split(".")[0]})` : String(id);
}

function Summary({ cluster }: { cluster: Cluster }) {
  const group = cluster.domain_group;
  const sites = new Set(cluster.nodes.filter((node) => node.state !== "removed").map((node) => node.site));
  const facts: [string, string, string?][] = [
    ["Cluster", cluster.name],
    ["This node", nodeName(cluster, cluster.this_node)],
    ["Directory led by", nodeName(cluster, group.leader)],
    ["Majority", group.quorum ? "answers" : "does not answer", group.quorum ? undefined : "red"],
    ["Voters", group.voters.join(", ") || "—"],
    ["Level", String(group.level)],
    ["Sites", [...sites].join(", ") || "—"],
    ["Settings", cluster.settings_writable ? "can be changed" : "read-only", cluster.settings_writable ? undefined : "red"],
  ];
  return (
    <Paper withBorder p="md">
      <SimpleGrid cols={{ base: 2, sm: 4 }}>
        {facts.map(([label, value, color]) => (
          <div key={label}>
            <Text size="sm" c="dimmed">{label}</Text>
            <Group gap={6}><Text className="wrap" c={color}>{value}</Text></Group>
          </div>
        ))}
      </SimpleGrid>
    </Paper>
  );
}
