import { Alert, Anchor, Badge, Group, Paper, SimpleGrid, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { api, type Schemas, sentence } from "../api/client";
import { bytes, span } from "../format";
import { Loaded } from "../parts/feedback";
import { Page } from "../parts/page";
import { useRights, useSession } from "../session";

export function StartPage() {
  const session = useSession().data;
  const rights = useRights();
  const name = session?.display_name || session?.name;
  if (!rights.read) {
    return (
      <Page title="Start">
        <Paper withBorder p="lg">
          <Stack gap="xs">
            <Text>You are signed on as <b>{name}</b>.</Text>
            <Text>Your mail address is <b>{session?.mail || "—"}</b>. Your mail program reaches this node as <b>{session?.host}</b>.</Text>
            <Anchor component={Link} to="/account">Your account</Anchor>
          </Stack>
        </Paper>
      </Page>
    );
  }
  return <StatusPage />;
}

function StatusPage() {
  const status = useQuery({ queryKey: ["status"], queryFn: () => api("get", "/status"), refetchInterval: 10_000 });
  return (
    <Page title="Start">
      <Loaded query={status}>{(it) => <StatusView status={it} />}</Loaded>
    </Page>
  );
}

function StatusView({ status }: { status: Schemas["Status"] }) {
  const tiles: [string, number, string][] = [
    ["Users", status.counts.users, "/users"],
    ["Groups", status.counts.groups, "/groups"],
    ["Aliases", status.counts.aliases, "/aliases"],
    ["Contacts", status.counts.contacts, "/contacts"],
    ["Domains", status.counts.domains, "/domains"],
    ["Messages in the queue", status.counts.queue, "/queue"],
  ];
  return (
    <Stack gap="lg">
      {status.problems.length === 0 ? (
        <Alert color="green" variant="light" title="Everything works" />
      ) : (
        status.problems.map((problem) => (
          <Alert key={problem.message} color={problem.grave ? "red" : "yellow"} variant="light"
            title={sentence(problem.message)}>
            {problem.remedy}
          </Alert>
        ))
      )}
      <SimpleGrid cols={{ base: 2, sm: 3, lg: 6 }}>
        {tiles.map(([label, count, to]) => (
          <Paper key={label} withBorder p="md" component={Link} to={to} className="clickable" td="none" c="inherit">
            <Text size="xl" fw={700} className="number">{count.toLocaleString()}</Text>
            <Text size="sm" c="dimmed">{label}</Text>
          </Paper>
        ))}
      </SimpleGrid>
      <Paper withBorder p="md">
        <Title order={2} size="h4" mb="sm">This node</Title>
        <SimpleGrid cols={{ base: 2, sm: 4 }}>
          <Fact label="Host" value={status.host} />
          <Fact label="Version" value={status.version} />
          <Fact label="Running for" value={span(status.now - status.started)} />
          <Fact label="Free on disk" value={bytes(status.disk_free)} />
        </SimpleGrid>
      </Paper>
      <Paper withBorder p="md">
        <Title order={2} size="h4" mb="sm">Replicated state</Title>
        <Table.ScrollContainer minWidth={420}>
          <Table>
            <Table.Thead>
              <Table.Tr><Table.Th>Group</Table.Th><Table.Th>State</Table.Th><Table.Th>Applied</Table.Th><Table.Th>Checkpoint</Table.Th></Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {status.groups.map((group) => (
                <Table.Tr key={group.id}>
                  <Table.Td>{group.name}</Table.Td>
                  <Table.Td><GroupState group={group} /></Table.Td>
                  <Table.Td className="number">{group.applied} of {group.last_log}</Table.Td>
                  <Table.Td className="number">{group.checkpoint}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      </Paper>
    </Stack>
  );
}

function GroupState({ group }: { group: Schemas["RaftGroup"] }) {
  if (group.failed) return <Badge color="red" variant="light">failed</Badge>;
  if (group.leader === null || group.leader === undefined) return <Badge color="yellow" variant="light">no leader</Badge>;
  return <Group gap={6}><Badge color="green" variant="light">led by node {group.leader}</Badge></Group>;
}

function Fact({ label, value }: { label: string; value: string }) {
  return (
    <div>
      <Text size="sm" c="dimmed">{label}</Text>
      <Text className="wrap">{value}</Text>
    </div>
  );
}
