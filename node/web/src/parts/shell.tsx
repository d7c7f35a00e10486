import { AppShell, Burger, Center, Group, Loader, Menu, NavLink, ScrollArea, Text, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { Link, Navigate, Outlet, useLocation, useNavigate } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";

import { api, request } from "../api/client";
import type { SetupState } from "../api/setup";
import { useRights, useSession, useSessionChange } from "../session";
import { ProblemAlert } from "./feedback";
import { Footer } from "./footer";
import { ReadOnlyBanner } from "./read-only";

interface Entry {
  to: string;
  label: string;
}

function useEntries(): { title: string; entries: Entry[] }[] {
  const rights = useRights();
  const all = [
    { title: "", show: true, entries: [{ to: "/", label: "Start" }] },
    {
      title: "People",
      show: rights.seeAccounts,
      entries: [
        { to: "/users", label: "Users" },
        { to: "/groups", label: "Groups" },
        { to: "/aliases", label: "Aliases" },
        { to: "/contacts", label: "Contacts" },
        { to: "/check", label: "Check an address" },
      ],
    },
    { title: "Mail", show: rights.seeAccounts, entries: [
      { to: "/domains", label: "Domains" },
      ...(rights.read ? [{ to: "/queue", label: "Queue" }] : []),
    ] },
    {
      title: "Sign-on",
      show: rights.read,
      entries: [
        { to: "/sources", label: "Directories" },
        { to: "/kerberos", label: "Kerberos" },
        { to: "/failures", label: "Failed sign-ons" },
      ],
    },
    {
      title: "System",
      show: rights.read,
      entries: [
        { to: "/cluster", label: "Cluster" },
        { to: "/settings", label: "Settings" },
        { to: "/audit", label: "Audit log" },
      ],
    },
  ];
  return all.filter((section) => section.show);
}

export function Brand() {
  return (
    <Group gap="xs" wrap="nowrap">
      <img src="/icon.svg" width={28} height={28} alt="" />
      <Text fw={700} size="lg">Posthouse</Text>
    </Group>
  );
}

/** What surrounds every page of somebody who is signed on. Sends everybody else to the right place. */
export function Shell() {
  const session = useSession();
  const setup = useQuery({
    queryKey: ["setup"],
    queryFn: () => request<SetupState>("get", "/setup"),
    enabled: session.data === null || session.isError,
    retry: false,
  });
  if (setup.data && setup.data.stage !== "done") return <Navigate to="/setup" />;
  if (session.data) return <Frame />;
  if (session.data === null && (setup.data || setup.isError)) return <Navigate to="/sign-on" />;
  if (session.isError && (setup.data || setup.isError)) {
    return <Center h="100vh"><div><ProblemAlert error={session.error} /></div></Center>;
  }
  return <Center h="100vh" role="status" aria-label="Loading"><Loader /></Center>;
}

function Frame() {
  const [opened, { toggle, close }] = useDisclosure(false);
  const here = useLocation().pathname;
  useEffect(close, [here, close]);
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 220, breakpoint: "sm", collapsed: { mobile: !opened } }}
      padding="md"
    >
      <a className="skip" href="#main">Skip to the page</a>
      <AppShell.Header px="md">
        <Group h="100%" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger opened={opened} onClick={toggle} hiddenFrom="sm" size="sm" aria-label="Menu" aria-expanded={opened} />
            <Brand />
          </Group>
          <Me />
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="xs" aria-label="Main menu">
        <ScrollArea>
          <Sections here={here} onGo={close} />
        </ScrollArea>
      </AppShell.Navbar>
      <AppShell.Main id="main" tabIndex={-1}>
        <ReadOnlyBanner />
        <Outlet />
        <Footer />
      </AppShell.Main>
    </AppShell>
  );
}

function Sections({ here, onGo }: { here: string; onGo: () => void }) {
  return useEntries().map((section) => (
    <div key={section.title}>
      {section.title && <Text size="xs" fw={700} c="dimmed" tt="uppercase" px="sm" pt="md" pb={4}>{section.title}</Text>}
      {section.entries.map((entry) => (
        <NavLink
          key={entry.to}
          component={Link}
          to={entry.to}
          label={entry.label}
          active={here === entry.to}
          aria-current={here === entry.to ? "page" : undefined}
          onClick={onGo}
        />
      ))}
    </div>
  ));
}

function Me() {
  const session = useSession().data;
  const change = useSessionChange();
  const navigate = useNavigate();
  const signOff = async () => {
    try {
      await api("delete", "/session");
    } finally {
      change(null);
      await navigate({ to: "/sign-on" });
    }
  };
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <UnstyledButton px="sm" py={6} aria-label="Your account">
          <Text fw={600} size="sm" truncate maw={200}>{session?.display_name || session?.name}</Text>
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{session?.mail}</Menu.Label>
        <Menu.Item component={Link} to="/account">Your account</Menu.Item>
        <Menu.Item onClick={signOff}>Sign off</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
