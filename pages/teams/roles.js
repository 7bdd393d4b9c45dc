// Roles in a team, and the permissions that they stand for: bits as the API has them.

/** Every role; whoever has one may hand on what they have themselves. */
export const ROLES = [
  { key: "owner", name: "Owner", permissions: 8191 },
  { key: "admin", name: "Administrator", permissions: 5951 },
  { key: "member", name: "Member", permissions: 1587 },
  { key: "partner", name: "Guest", permissions: 1025 },
];

/** Bits of permissions. */
export const MAY = { invite: 1 << 2, remove: 1 << 3, setRoles: 1 << 12 };

/** The role of these permissions; none when they are unknown or of no role. */
export function roleOf(permissions) {
  return ROLES.find((role) => role.permissions === permissions?.self);
}

/** Whether a member has a permission. */
export function may(member, permission) {
  return (member.permissions.self & permission) !== 0;
}

/** Whether a member may give these permissions to somebody, or take them away. */
export function mayGive(member, permissions) {
  return (permissions & ~member.permissions.copy) === 0;
}
