import { Alert, Button, Group, Paper, PasswordInput, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";

import { api } from "../api/client";
import { fieldError } from "../parts/accounts";
import { Empty, Loaded, ProblemAlert } from "../parts/feedback";
import { Page } from "../parts/page";
import { passwordProblem, PasswordStrength } from "../parts/password";
import { rightsLabel, useSession } from "../session";
import { Failures } from "./failures";

export function AccountPage() {
  const session = useSession().data;
  const failures = useQuery({ queryKey: ["own-failures"], queryFn: () => api("get", "/session/failures") });
  if (!session) return null;
  const facts: [string, string][] = [
    ["Login name", session.name],
    ["Mail address", session.mail || "—"],
    ["Signed on by", session.mechanism],
    ["May administer", rightsLabel(session.rights)],
  ];
  return (
    <Page title="Your account">
      <Paper withBorder p="md">
        <SimpleGrid cols={{ base: 1, xs: 2, sm: 4 }}>
          {facts.map(([label, value]) => (
            <div key={label}><Text size="sm" c="dimmed">{label}</Text><Text className="wrap">{value}</Text></div>
          ))}
        </SimpleGrid>
      </Paper>
      {session.local_password && <ChangePassword name={session.name} />}
      <Stack gap="xs">
        <Title order={2} size="h4">Failed sign-ons with your name</Title>
        <Loaded query={failures}>
          {(found) => found.length === 0 ? <Empty title="There were none" /> : <Failures failures={found} />}
        </Loaded>
      </Stack>
    </Page>
  );
}

function ChangePassword({ name }: { name: string }) {
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  const [again, setAgain] = useState("");
  const change = useMutation({
    mutationFn: () => api("put", "/session/password", { body: { old, new: next } }),
    onSuccess: () => { setOld(""); setNext(""); setAgain(""); },
  });
  const ready = old !== "" && !passwordProblem(next, name) && next === again;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (ready) change.mutate();
  };
  return (
    <Paper withBorder p="md" maw={480}>
      <form onSubmit={submit}>
        <Stack>
          <Title order={2} size="h4">Change your password</Title>
          <PasswordInput label="Password until now" value={old} onChange={(e) => setOld(e.currentTarget.value)} autoComplete="current-password"
            error={fieldError(change.error, "old")} />
          <div>
            <PasswordInput label="New password" value={next} onChange={(e) => setNext(e.currentTarget.value)} autoComplete="new-password"
              error={fieldError(change.error, "new")} />
            <PasswordStrength password={next} name={name} />
          </div>
          <PasswordInput label="New password again" value={again} onChange={(e) => setAgain(e.currentTarget.value)} autoComplete="new-password"
            error={again !== "" && again !== next ? "Not the same as above" : undefined} />
          <ProblemAlert error={change.error} />
          {change.isSuccess && <Alert color="green" variant="light" role="status" title="Your password is changed" />}
          <Group><Button type="submit" loading={change.isPending} disabled={!ready}>Change</Button></Group>
        </Stack>
      </form>
    </Paper>
  );
}
