import { Progress, Text } from "@mantine/core";

const LEAST = 10;

/** What is wrong with a password, by the same rules as the server's; empty if nothing. */
export function passwordProblem(password: string, name: string): string {
  const folded = password.toLowerCase();
  if ([...password].length < LEAST) return `At least ${LEAST} characters`;
  if (new Set(folded).size < 5) return "Too few different characters";
  if (name.trim().length > 3 && folded.includes(name.trim().toLowerCase())) return "Must not contain the name";
  return "";
}

/** How good a password is: length counts most. */
export function PasswordStrength({ password, name }: { password: string; name: string }) {
  if (password === "") return null;
  const problem = passwordProblem(password, name);
  const kinds = [/[a-z]/, /[A-Z]/, /[0-9]/, /[^a-zA-Z0-9]/].filter((kind) => kind.test(password)).length;
  const score = problem ? 20 : Math.min(100, [...password].length * 4 + kinds * 8);
  const [color, word] = problem ? ["red", problem] : score < 70 ? ["yellow", "Acceptable; longer is better"] : ["green", "Good"];
  return (
    <>
      <Progress value={score} color={color} size="xs" mt={6} aria-label="Strength of the password" />
      <Text size="xs" c="dimmed" mt={2} role="status">{word}</Text>
    </>
  );
}
