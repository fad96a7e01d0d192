#define _GNU_SOURCE
#include "CApusProcess.h"

#include <errno.h>
#include <grp.h>
#include <unistd.h>

int apus_set_group(gid_t group) {
    return setresgid(group, group, group) == 0 ? 0 : -errno;
}

int apus_set_user(uid_t user) {
    return setresuid(user, user, user) == 0 ? 0 : -errno;
}

int apus_set_groups(const char *name, gid_t group) {
    int result = name != NULL ? initgroups(name, group) : setgroups(1, &group);
    return result == 0 ? 0 : -errno;
}

int apus_is_account(uid_t user, gid_t group) {
    uid_t users[3];
    gid_t groups[3];
    if (getresuid(&users[0], &users[1], &users[2]) != 0 || getresgid(&groups[0], &groups[1], &groups[2]) != 0) {
        return 0;
    }
    for (int index = 0; index < 3; index++) {
        if (users[index] != user || groups[index] != group) {
            return 0;
        }
    }
    return 1;
}
