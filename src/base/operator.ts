/** Who acts on the admin side, and what each role may do. A role may do all that the ones before it may. */

export const ROLES = ['viewer', 'approver', 'admin'] as const;

/** `viewer` reads, `approver` decides held requests and locks down, `admin` does everything. */
export type Role = (typeof ROLES)[number];

export type Operator = {
  /** as it stands in records; `admin` is the one of `admin.token` */
  readonly name: string;
  readonly role: Role;
};

export function mayAct({ role }: Operator, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}
