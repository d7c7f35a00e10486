import { SimpleGrid, Textarea, TextInput } from "@mantine/core";

import type { Schemas } from "../api/client";
import { fieldError } from "./accounts";

type Person = Schemas["PersonView"];

export const newPerson: Required<Person> = {
  given_name: "", surname: "", title: "", department: "", company: "", office: "", phone: "", mobile: "", postal_address: "",
};

const FIELDS: [keyof Person, string][] = [
  ["given_name", "Given name"],
  ["surname", "Surname"],
  ["title", "Job title"],
  ["department", "Department"],
  ["company", "Company"],
  ["office", "Office"],
  ["phone", "Telephone"],
  ["mobile", "Mobile telephone"],
];

/** What the address book shows of a person. */
export function PersonFields(props: { person: Person; set: (person: Person) => void; readOnly: boolean; error: unknown }) {
  const { person, set, readOnly, error } = props;
  return (
    <>
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        {FIELDS.map(([field, label]) => (
          <TextInput key={field} label={label} value={person[field] ?? ""} readOnly={readOnly} error={fieldError(error, field)}
            onChange={(e) => set({ ...person, [field]: e.currentTarget.value })} />
        ))}
      </SimpleGrid>
      <Textarea label="Postal address" value={person.postal_address ?? ""} readOnly={readOnly} autosize minRows={2}
        error={fieldError(error, "postal_address")} onChange={(e) => set({ ...person, postal_address: e.currentTarget.value })} />
    </>
  );
}
