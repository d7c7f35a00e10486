import { Button, Center, Divider, Paper, PasswordInput, Stack, Text, TextInput, Title } from "@mantine/core";
import { useDocumentTitle } from "@mantine/hooks";
import { useMutation } from "@tanstack/react-query";
import { Navigate, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";

import { api } from "../api/client";
import { Footer } from "../parts/footer";
import { ProblemAlert } from "../parts/feedback";
import { Brand } from "../parts/shell";
import { useSession, useSessionChange, type WhoAmI } from "../session";

export function SignOnPage() {
  useDocumentTitle("Sign on – Posthouse");
  const session = useSession();
  const change = useSessionChange();
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const signedOn = async (who: WhoAmI) => {
    change(who);
    await navigate({ to: "/" });
  };
  const form = useMutation({
    mutationFn: () => api("post", "/session", { body: { name: name.trim(), password } }),
    onSuccess: signedOn,
    onError: () => setPassword(""),
  });
  const ticket = useMutation({ mutationFn: () => api("get", "/session/negotiate"), onSuccess: signedOn });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    ticket.reset();
    form.mutate();
  };
  if (session.data) return <Navigate to="/" />;
  return (
    <Center mih="100vh" p="md">
      <Stack w="100%" maw={380}>
        <Paper withBorder p="xl" shadow="sm" component="main">
          <Stack>
            <Brand />
            <Title order={1} size="h3">Sign on</Title>
            <form onSubmit={submit}>
              <Stack>
                <TextInput label="Name or address" value={name} onChange={(e) => setName(e.currentTarget.value)}
                  autoComplete="username" autoCapitalize="none" spellCheck={false} required withAsterisk={false} autoFocus />
                <PasswordInput label="Password" value={password} onChange={(e) => setPassword(e.currentTarget.value)}
                  autoComplete="current-password" required withAsterisk={false} />
                <ProblemAlert error={form.error} />
                <Button type="submit" loading={form.isPending} fullWidth>Sign on</Button>
              </Stack>
            </form>
            <Divider label="or" />
            <Button variant="default" loading={ticket.isPending} onClick={() => { form.reset(); ticket.mutate(); }}>
              Use this computer’s sign-on
            </Button>
            {ticket.error && (
              <Text size="sm" c="red" role="alert">
                Your browser did not send a valid ticket. It must trust this address for integrated sign-on, and the computer must be
                a member of the domain. Use name and password instead.
              </Text>
            )}
          </Stack>
        </Paper>
        <Footer />
      </Stack>
    </Center>
  );
}
