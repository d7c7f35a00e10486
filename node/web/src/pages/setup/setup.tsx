import { Center, Container, Loader, Paper, Stack } from "@mantine/core";
import { useDocumentTitle } from "@mantine/hooks";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Navigate } from "@tanstack/react-router";
import { useState } from "react";

import { request } from "../../api/client";
import type { SetupDone, SetupState } from "../../api/setup";
import { ProblemAlert } from "../../parts/feedback";
import { Footer } from "../../parts/footer";
import { Brand } from "../../parts/shell";
import { CodeStep } from "./code";
import { DoneStep } from "./done";
import { Wizard } from "./wizard";

/** The set-up of a node that has no settings yet. */
export function SetupPage() {
  useDocumentTitle("Set-up – Posthouse");
  const queries = useQueryClient();
  const [done, setDone] = useState<SetupDone | null>(null);
  const state = useQuery({ queryKey: ["setup"], queryFn: () => request<SetupState>("get", "/setup") });
  const again = () => queries.invalidateQueries({ queryKey: ["setup"] });
  if (!done && state.data?.stage === "done") return <Navigate to="/sign-on" />;
  return (
    <Container size="sm" py="lg" component="main">
      <Stack gap="lg">
        <Brand />
        <Paper withBorder p={{ base: "md", xs: "xl" }} shadow="sm">
          {done ? (
            <DoneStep done={done} />
          ) : state.data?.stage === "code" ? (
            <CodeStep state={state.data} onOpened={again} />
          ) : state.data?.stage === "form" ? (
            <Wizard state={state.data} onDone={setDone} onClosed={again} />
          ) : state.error ? (
            <ProblemAlert error={state.error} />
          ) : (
            <Center py="xl" role="status" aria-label="Loading"><Loader /></Center>
          )}
        </Paper>
        <Footer />
      </Stack>
    </Container>
  );
}
