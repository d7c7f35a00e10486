import { Alert, Badge, Button, Checkbox, Group, List, Loader, PasswordInput, Radio, Stack, Table, Text, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useEffect } from "react";

import { request, sentence } from "../../api/client";
import type { SetupCheck, SetupDirectory, SetupPreview } from "../../api/setup";
import { fieldError } from "../../parts/accounts";
import { DirectoryFields, directoryInput } from "../../parts/directory";
import { ProblemAlert } from "../../parts/feedback";
import { PasswordStrength } from "../../parts/password";
import { Preview } from "../../parts/preview";
import type { StepProps } from "./wizard";

export function ChoiceStep({ answers, set }: StepProps) {
  return (
    <Radio.Group value={answers.choice} onChange={(choice) => set({ ...answers, choice: choice === "join" ? "join" : "new_domain" })}
      aria-label="What this node becomes">
      <Stack>
        <Radio value="new_domain" label="The first node of a new domain" description="Make a mail domain with its first administrator." />
        <Radio value="join" label="A further node of a cluster" description="Join with an invitation: a code that a running node makes." />
        <Radio value="restore" disabled label="A node restored from a backup" description="Comes later." />
      </Stack>
    </Radio.Group>
  );
}

export function NamesStep({ answers, set, error }: StepProps) {
  return (
    <>
      <TextInput label="Mail domain" description="What stands behind the @ of addresses, such as example.com" value={answers.mail_domain} required
        onChange={(e) => set({ ...answers, mail_domain: e.currentTarget.value, checks: null })} error={fieldError(error, "mail_domain")}
        autoCapitalize="none" spellCheck={false} />
      <TextInput label="Host name of this node" description="The full name by which mail programs and browsers reach it, such as mail.example.com"
        value={answers.host} required onChange={(e) => set({ ...answers, host: e.currentTarget.value, checks: null })}
        error={fieldError(error, "host")} autoCapitalize="none" spellCheck={false} />
    </>
  );
}

const RESULTS = { warning: ["yellow", "look at it"], failed: ["red", "failed"] } as const;

/** What needs attention first; what is good as a short list. */
function Checks({ checks }: { checks: SetupCheck[] }) {
  const good = checks.filter((check) => check.result === "ok");
  return (
    <>
      {checks.map((check, index) =>
        check.result === "ok" ? null : (
          <Alert key={`${index}-${check.name}`} color={RESULTS[check.result][0]} variant="light"
            title={<Group gap="xs">{check.title}<Badge size="sm" color={RESULTS[check.result][0]} variant="filled" autoContrast>{RESULTS[check.result][1]}</Badge></Group>}>
            <Text size="sm" className="wrap">{sentence(check.detail)}</Text>
            {check.remedy && <Text size="sm" fw={600} className="wrap">{sentence(check.remedy)}</Text>}
          </Alert>
        ),
      )}
      {good.length > 0 && (
        <Alert color="green" variant="light" title={good.length === checks.length ? "Everything is good" : "Good"}>
          <List size="sm">
            {good.map((check, index) => (
              <List.Item key={`${index}-${check.name}`} className="wrap">{check.title}: {check.detail}</List.Item>
            ))}
          </List>
        </Alert>
      )}
    </>
  );
}

export function ChecksStep({ answers, set }: StepProps) {
  const run = useMutation({
    mutationFn: () => request<SetupCheck[]>("post", "/setup/checks", { host: answers.host.trim(), mail_domain: answers.mail_domain.trim() }),
    onSuccess: (checks) => set({ ...answers, checks }),
  });
  const { mutate } = run;
  const needed = answers.checks === null;
  useEffect(() => {
    if (needed) mutate();
  }, [needed, mutate]);
  return (
    <Stack aria-live="polite">
      <Text>Whether this machine can do its work. What is only to be looked at can be mended later.</Text>
      {run.isPending && <Group role="status"><Loader size="sm" /><Text>Checking …</Text></Group>}
      <ProblemAlert error={run.error} />
      {answers.checks && <Checks checks={answers.checks} />}
      <Group><Button variant="default" onClick={() => run.mutate()} loading={run.isPending}>Check again</Button></Group>
    </Stack>
  );
}

export function AdministratorStep({ answers, set, error }: StepProps) {
  return (
    <>
      <Text>Who administers this domain. An ordinary account with full rights and a mailbox; more can be added later.</Text>
      <TextInput label="Login name" value={answers.name} required onChange={(e) => set({ ...answers, name: e.currentTarget.value })}
        error={fieldError(error, "administrator.name")} autoCapitalize="none" spellCheck={false} autoComplete="username" />
      <TextInput label="Full name" value={answers.display_name} onChange={(e) => set({ ...answers, display_name: e.currentTarget.value })} />
      <div>
        <PasswordInput label="Password" value={answers.password} required onChange={(e) => set({ ...answers, password: e.currentTarget.value })}
          error={fieldError(error, "administrator.password")} autoComplete="new-password" />
        <PasswordStrength password={answers.password} name={answers.name} />
      </div>
      <PasswordInput label="Password again" value={answers.again} required onChange={(e) => set({ ...answers, again: e.currentTarget.value })}
        error={answers.again !== "" && answers.again !== answers.password ? "Not the same as above" : undefined} autoComplete="new-password" />
    </>
  );
}

export function DirectoryStep({ answers, set, error }: StepProps) {
  const test = useMutation({
    mutationFn: () => request<SetupPreview>("post", "/setup/directory-test", { ...directoryInput(answers.directory), mail_domain: answers.mail_domain.trim() } satisfies SetupDirectory & { mail_domain: string }),
  });
  return (
    <>
      <Text>With an Active Directory its users, groups and contacts appear here by themselves, with the sign-on that they have. It can also be joined later.</Text>
      <Checkbox label="Join an Active Directory now" checked={answers.withDirectory}
        onChange={(e) => set({ ...answers, withDirectory: e.currentTarget.checked })} />
      {answers.withDirectory && (
        <>
          <DirectoryFields form={answers.directory} set={(directory) => { test.reset(); set({ ...answers, directory }); }} readOnly={false}
            error={test.error ?? error} />
          <Group><Button variant="default" onClick={() => test.mutate()} loading={test.isPending}>Test: what would be mapped?</Button></Group>
          <ProblemAlert error={test.error} />
          {test.data && <Preview preview={test.data} />}
        </>
      )}
    </>
  );
}

export function SummaryStep({ answers }: StepProps) {
  const rows: [string, string][] = [
    ["Mail domain", answers.mail_domain.trim()],
    ["Host name", answers.host.trim()],
    ["First administrator", `${answers.name.trim()}@${answers.mail_domain.trim()}`],
    ["Active Directory", answers.withDirectory ? answers.directory.directory_domain.trim() : "none"],
  ];
  return (
    <>
      <Text>Nothing has been written so far. “Set up now” stores all of this in one step.</Text>
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
