import { Anchor, Container, Stack, Text, Title } from "@mantine/core";
import { Link } from "@tanstack/react-router";

const ADDRESS: string | undefined = import.meta.env.VITE_SOURCE_URL;

/** Where the source is. Whoever runs a changed version builds with VITE_SOURCE_URL set to its source. */
export function SourcePage() {
  return (
    <Container size="sm" py="xl">
      <Stack>
        <Title order={1} size="h2">Source</Title>
        <Text>
          Posthouse is free software: you may use, study, share and change it under the GNU Affero General Public License,
          version 3 or later. It comes without any warranty.
        </Text>
        {ADDRESS ? (
          <Text>The source of the version that runs here: <Anchor href={ADDRESS} rel="noreferrer">{ADDRESS}</Anchor></Text>
        ) : (
          <Text>
            Everybody who uses this node over the network is entitled to the source of the version that runs here. Ask the
            administrator of this node for it.
          </Text>
        )}
        <Anchor component={Link} to="/">Back</Anchor>
      </Stack>
    </Container>
  );
}
