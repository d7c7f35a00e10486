import { Alert, Anchor, Button, List, Stack, Text, Title } from "@mantine/core";

import type { SetupDone } from "../../api/setup";

export function DoneStep({ done }: { done: SetupDone }) {
  return (
    <Stack>
      <Title order={1} size="h2">The node is set up</Title>
      <Alert color="green" variant="light" role="status" title="Everything is stored">
        This set-up is closed for good. The code is of no further use.
      </Alert>
      {done.next.length > 0 && (
        <div>
          <Text fw={600}>What comes next</Text>
          <List>{done.next.map((step) => <List.Item key={step} className="wrap">{step}</List.Item>)}</List>
        </div>
      )}
      <Text>
        Sign on as an administrator at <Anchor href={done.address}>{done.address}</Anchor>. Until its name is known in the network’s DNS,
        use the address that you used for the set-up.
      </Text>
      <div><Button component="a" href="/sign-on">Sign on</Button></div>
    </Stack>
  );
}
