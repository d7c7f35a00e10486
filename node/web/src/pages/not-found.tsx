import { Anchor, Center, Stack, Text, Title } from "@mantine/core";
import { Link } from "@tanstack/react-router";

export function NotFoundPage() {
  return (
    <Center mih="60vh">
      <Stack align="center">
        <Title order={1} size="h2">There is no such page</Title>
        <Text>The address may be mistyped, or from an older version.</Text>
        <Anchor component={Link} to="/">To the start page</Anchor>
      </Stack>
    </Center>
  );
}
