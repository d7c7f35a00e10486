import { Anchor, Group, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";

import { useSession } from "../session";

/** Below every page: version, licence, and where the source is (AGPL, section 13). */
export function Footer() {
  const version = useSession().data?.version;
  return (
    <Group component="footer" gap="xs" pt="xl" pb="sm" justify="center">
      <Text size="xs" c="dimmed">Posthouse{version ? ` ${version}` : ""} · AGPL-3.0-or-later ·</Text>
      <Anchor component={Link} to="/source" size="xs">Source</Anchor>
    </Group>
  );
}
