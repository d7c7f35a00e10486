import { Button, Group, Progress, Stack, Text, Title } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useEffect, useRef, useState } from "react";

import { Problem, request } from "../../api/client";
import type { SetupAnswers, SetupDone, SetupJoin, SetupState } from "../../api/setup";
import { ProblemAlert } from "../../parts/feedback";
import { AdministratorStep, ChecksStep, ChoiceStep, DirectoryStep, NamesStep, SummaryStep } from "./steps";
import { type Answers, firstAnswers, missing, toApi, toJoin } from "./answers";
import { JoinStep, JoinSummaryStep } from "./join";

interface Step {
  title: string;
  /** What is still missing before going on; empty if nothing. */
  missing: (answers: Answers) => string;
  content: (props: StepProps) => ReactNode;
}

export interface StepProps {
  answers: Answers;
  set: (answers: Answers) => void;
  error: unknown;
}

const CHOICE: Step = { title: "What this node becomes", missing: () => "", content: (props) => <ChoiceStep {...props} /> };
const CHECKS: Step = { title: "Checks", missing: missing.checks, content: (props) => <ChecksStep {...props} /> };

const NEW_DOMAIN: Step[] = [
  CHOICE,
  { title: "Names", missing: missing.names, content: (props) => <NamesStep {...props} /> },
  CHECKS,
  { title: "First administrator", missing: missing.administrator, content: (props) => <AdministratorStep {...props} /> },
  { title: "Active Directory", missing: missing.directory, content: (props) => <DirectoryStep {...props} /> },
  { title: "Summary", missing: () => "", content: (props) => <SummaryStep {...props} /> },
];

const JOIN: Step[] = [
  CHOICE,
  { title: "Invitation", missing: missing.join, content: (props) => <JoinStep {...props} /> },
  CHECKS,
  { title: "Summary", missing: () => "", content: (props) => <JoinSummaryStep {...props} /> },
];

export function Wizard({ state, onDone, onClosed }: { state: SetupState; onDone: (done: SetupDone) => void; onClosed: () => void }) {
  const [at, setAt] = useState(0);
  const [answers, setAnswers] = useState(() => firstAnswers(state));
  const [complaint, setComplaint] = useState("");
  const heading = useRef<HTMLHeadingElement>(null);
  const joins = answers.choice === "join";
  const steps = joins ? JOIN : NEW_DOMAIN;
  const apply = useMutation({
    mutationFn: () => joins
      ? request<SetupDone>("post", "/setup/join", toJoin(answers) satisfies SetupJoin)
      : request<SetupDone>("post", "/setup/apply", toApi(answers) satisfies SetupAnswers),
    onSuccess: onDone,
    onError: (error) => {
      if (error instanceof Problem && (error.status === 401 || error.status === 403)) onClosed();
    },
  });
  useEffect(() => heading.current?.focus(), [at]);
  const step = steps[at];
  if (!step) return null;
  const last = at === steps.length - 1;
  const forward = (event: FormEvent) => {
    event.preventDefault();
    const problem = step.missing(answers);
    setComplaint(problem);
    if (problem) return;
    if (last) apply.mutate();
    else setAt(at + 1);
  };
  const back = () => {
    setComplaint("");
    apply.reset();
    setAt(at - 1);
  };
  const set = (next: Answers) => {
    setComplaint("");
    setAnswers(next);
  };
  return (
    <form onSubmit={forward} noValidate>
      <Stack>
        <div>
          <Text size="sm" c="dimmed">Step {at + 1} of {steps.length}</Text>
          <Progress value={((at + 1) / steps.length) * 100} size="xs" mt={4} aria-label="Progress of the set-up" />
        </div>
        <Title order={1} size="h2" ref={heading} tabIndex={-1}>{step.title}</Title>
        {step.content({ answers, set, error: apply.error })}
        {complaint && <Text c="red" role="alert">{complaint}</Text>}
        <ProblemAlert error={apply.error} />
        <Group justify="space-between">
          <Button variant="default" onClick={back} disabled={at === 0 || apply.isPending}>Back</Button>
          <Button type="submit" loading={apply.isPending}>{last ? (joins ? "Join now" : "Set up now") : "Continue"}</Button>
        </Group>
      </Stack>
    </form>
  );
}
