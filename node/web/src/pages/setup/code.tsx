import { Button, Stack, Text, TextInput, Title } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";

import { request } from "../../api/client";
import type { SetupCode, SetupState } from "../../api/setup";
import { ProblemAlert } from "../../parts/feedback";

/** Asks for the code that only the console shows: who has it stands in front of the machine. */
export function CodeStep({ state, onOpened }: { state: SetupState; onOpened: () => void }) {
  const [code, setCode] = useState("");
  const open = useMutation({
    mutationFn: () => request<void>("post", "/setup/code", { code: code.trim() } satisfies SetupCode),
    onSuccess: onOpened,
    onError: () => setCode(""),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    open.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Title order={1} size="h2">Set up this node</Title>
        <Text>This node has no settings yet. Its console shows a one-time code: type it here. Only one browser can do the set-up.</Text>
        <TextInput label="Code from the console" value={code} onChange={(e) => setCode(e.currentTarget.value)} autoFocus required withAsterisk={false}
          autoComplete="one-time-code" autoCapitalize="none" spellCheck={false} classNames={{ input: "code" }} />
        {Boolean(state.wait_seconds) && <Text size="sm" c="dimmed">After wrong codes the next attempt is possible in {state.wait_seconds} seconds.</Text>}
        <ProblemAlert error={open.error} />
        <div><Button type="submit" loading={open.isPending}>Begin</Button></div>
      </Stack>
    </form>
  );
}
