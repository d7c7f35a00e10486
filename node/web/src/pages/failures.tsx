import { Accordion, Badge, Group, List, Stack, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Schemas } from "../api/client";
import { when } from "../format";
import { Empty, Loaded } from "../parts/feedback";
import { Page } from "../parts/page";

export function FailuresPage() {
  const [name, setName] = useState("");
  const [wanted] = useDebouncedValue(name.trim(), 300);
  const failures = useQuery({
    queryKey: ["failures", wanted],
    queryFn: () => api("get", "/failures", { query: { name: wanted || undefined } }),
    refetchInterval: 10_000,
  });
  return (
    <Page title="Failed sign-ons" about="The newest failures on this node: why, and what to do about it. Users themselves are told nothing of this.">
      <TextInput type="search" aria-label="Name" placeholder="Only of this name or principal" maw={420} value={name}
        onChange={(e) => setName(e.currentTarget.value)} autoCapitalize="none" />
      <Loaded query={failures}>
        {(found) => found.length === 0 ? <Empty title="No sign-on has failed" /> : <Failures failures={found} />}
      </Loaded>
    </Page>
  );
}

/** Failed sign-ons, each to unfold. */
export function Failures({ failures }: { failures: Schemas["FailureView"][] }) {
  return (
    <Accordion variant="contained" multiple>
      {failures.map((failure, index) => (
        <Accordion.Item key={`${failure.at}-${index}`} value={`${failure.at}-${index}`}>
          <Accordion.Control>
            <Group justify="space-between" gap="xs">
              <Text fw={600} className="wrap">{failure.name || "unknown"}</Text>
              <Text size="sm" c="dimmed">{when(failure.at)}</Text>
            </Group>
            <Text size="sm" className="wrap">{failure.reason}</Text>
          </Accordion.Control>
          <Accordion.Panel>
            <Stack gap="sm">
              <Group gap="xs">
                <Badge variant="light" tt="none">{failure.service}</Badge>
                <Badge variant="light" tt="none">{failure.mechanism}</Badge>
                <Badge variant="light" color="gray" tt="none">from {failure.address}</Badge>
              </Group>
              {failure.findings.length > 0 && (
                <div><Text fw={600} size="sm">What was found</Text>
                  <List size="sm">{failure.findings.map((text) => <List.Item key={text} className="wrap">{text}</List.Item>)}</List></div>
              )}
              {failure.remedies.length > 0 && (
                <div><Text fw={600} size="sm">What to do</Text>
                  <List size="sm">{failure.remedies.map((text) => <List.Item key={text} className="wrap">{text}</List.Item>)}</List></div>
              )}
            </Stack>
          </Accordion.Panel>
        </Accordion.Item>
      ))}
    </Accordion>
  );
}
