import { createRootRoute, createRoute, createRouter, Outlet } from "@tanstack/react-router";

import { Shell } from "./parts/shell";
import { AccountPage } from "./pages/account";
import { AliasesPage } from "./pages/aliases";
import { AuditPage } from "./pages/audit";
import { CheckPage } from "./pages/check";
import { ClusterPage } from "./pages/cluster/cluster";
import { ContactsPage } from "./pages/contacts";
import { DomainsPage } from "./pages/domains";
import { FailuresPage } from "./pages/failures";
import { GroupsPage } from "./pages/groups";
import { KerberosPage } from "./pages/kerberos";
import { NotFoundPage } from "./pages/not-found";
import { QueuePage } from "./pages/queue";
import { SettingsPage } from "./pages/settings";
import { SetupPage } from "./pages/setup/setup";
import { SignOnPage } from "./pages/sign-on";
import { SourcePage } from "./pages/source";
import { SourcesPage } from "./pages/sources";
import { StartPage } from "./pages/start";
import { UsersPage } from "./pages/users";

const root = createRootRoute({ component: Outlet, notFoundComponent: NotFoundPage });

const shell = createRoute({ getParentRoute: () => root, id: "shell", component: Shell });

const inside = [
  createRoute({ getParentRoute: () => shell, path: "/", component: StartPage }),
  createRoute({ getParentRoute: () => shell, path: "/users", component: UsersPage }),
  createRoute({ getParentRoute: () => shell, path: "/groups", component: GroupsPage }),
  createRoute({ getParentRoute: () => shell, path: "/aliases", component: AliasesPage }),
  createRoute({ getParentRoute: () => shell, path: "/contacts", component: ContactsPage }),
  createRoute({ getParentRoute: () => shell, path: "/domains", component: DomainsPage }),
  createRoute({ getParentRoute: () => shell, path: "/check", component: CheckPage }),
  createRoute({ getParentRoute: () => shell, path: "/sources", component: SourcesPage }),
  createRoute({ getParentRoute: () => shell, path: "/kerberos", component: KerberosPage }),
  createRoute({ getParentRoute: () => shell, path: "/failures", component: FailuresPage }),
  createRoute({ getParentRoute: () => shell, path: "/queue", component: QueuePage }),
  createRoute({ getParentRoute: () => shell, path: "/cluster", component: ClusterPage }),
  createRoute({ getParentRoute: () => shell, path: "/settings", component: SettingsPage }),
  createRoute({ getParentRoute: () => shell, path: "/audit", component: AuditPage }),
  createRoute({ getParentRoute: () => shell, path: "/account", component: AccountPage }),
];

const outside = [
  createRoute({ getParentRoute: () => root, path: "/sign-on", component: SignOnPage }),
  createRoute({ getParentRoute: () => root, path: "/setup", component: SetupPage }),
  createRoute({ getParentRoute: () => root, path: "/source", component: SourcePage }),
];

export const router = createRouter({ routeTree: root.addChildren([shell.addChildren(inside), ...outside]) });

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
