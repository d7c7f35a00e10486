import { Alert, Button, Group, List, Paper, Stack, Text, TextInput, Timeline, Title } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";

import { api, type Schemas } from "../api/client";
import { ProblemAlert } from "../parts/feedback";
import { Page } from "../parts/page";

export function CheckPage() {
  const [address, setAddress] = useState("");
  const check = useMutation({ mutationFn: () => api("get", "/resolve", { query: { address: address.trim() } }) });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    check.mutate();
  };
  return (
    <Page title="Check an address" about="Says where mail for an address goes, and why: users, groups, aliases, patterns.">
      <form onSubmit={submit}>
        <Group align="flex-end">
          <TextInput label="Address" value={address} onChange={(e) => setAddress(e.currentTarget.value)} required withAsterisk={false}
            flex={1} miw={180} maw={420} autoCapitalize="none" spellCheck={false} />
          <Button type="submit" loading={check.isPending}>Check</Button>
        </Group>
      </form>
      <ProblemAlert error={check.error} />
      {check.data && <Outcome found={check.data} />}
    </Page>
  );
}

function Outcome({ found }: { found: Schemas["ResolutionView"] }) {
  const [color, title] = found.accepted
    ? ["green", "Mail for this address is accepted."]
    : found.local_domain
      ? ["red", "Nobody has this address: mail for it is refused."]
      : ["blue", "The domain of this address is not ours: mail for it is sent out."];
  return (
    <Stack role="status">
      <Alert color={color} variant="light" title={title}>{found.limit}</Alert>
      {found.targets.length > 0 && (
        <Paper withBorder p="md">
          <Title order={2} size="h5" mb="xs">It goes to</Title>
          <List>
            {found.targets.map((target) => (
              <List.Item key={target.address}>{target.address} {!target.user && <Text span c="dimmed">(elsewhere)</Text>}</List.Item>
            ))}
          </List>
        </Paper>
      )}
      {found.steps.length > 0 && (
        <Paper withBorder p="md">
          <Title order={2} size="h5" mb="md">How that came about</Title>
          <Timeline active={found.steps.length} bulletSize={14} lineWidth={2}>
            {found.steps.map((step, index) => (
              <Timeline.Item key={`${index}-${step.address}`} title={<span className="wrap">{step.address}</span>}>
                <Text size="sm" c="dimmed" className="wrap">{step.found}</Text>
              </Timeline.Item>
            ))}
          </Timeline>
        </Paper>
      )}
    </Stack>
  );
}
