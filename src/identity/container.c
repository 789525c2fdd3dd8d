/* Containers by the names of their cgroups. */
#include "identity/procfs.h"

#include <stdio.h>

#define ID_DIGITS (LH_IDENTITY_CONTAINER_SIZE - 1)

typedef struct {
    const char *prefix; /* of the cgroup's name */
    const char *suffix;
    enum lh_container_runtime runtime;
} form;

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* The next part of a path: its bytes, without slashes; false at the end. */
static bool next_part(const char **path, const char **ret, size_t *ret_len)
{
    if (**path != '/')
        return false;
    *ret = *path + 1;
    *ret_len = strcspn(*ret, "/");
    *path = *ret + *ret_len;
    return *ret_len > 0;
}

static bool take_part(const char **path, const char *name)
{
    const char *part = NULL;
    size_t len = 0;
    const char *rest = *path;
    if (!next_part(&rest, &part, &len) || len != strlen(name) || memcmp(part, name, len) != 0)
        return false;
    *path = rest;
    return true;
}

/* A name of the form PREFIX id SUFFIX. */
static bool take_id(const char *part, size_t len, const form *f, char *ret_id)
{
    size_t prefix = strlen(f->prefix);
    size_t suffix = strlen(f->suffix);
    if (len != prefix + ID_DIGITS + suffix || memcmp(part, f->prefix, prefix) != 0 ||
        memcmp(part + prefix + ID_DIGITS, f->suffix, suffix) != 0)
        return false;
    for (size_t i = 0; i < ID_DIGITS; i++)
        if (!is_hex(part[prefix + i]))
            return false;
    memcpy(ret_id, part + prefix, ID_DIGITS);
    ret_id[ID_DIGITS] = '\0';
    return true;
}

static bool take_container(
    const char *path, const form *forms, size_t count, enum lh_container_runtime *ret_runtime, char *ret_id)
{
    const char *part = NULL;
    size_t len = 0;
    if (!next_part(&path, &part, &len))
        return false;
    for (size_t i = 0; i < count; i++)
        if (take_id(part, len, &forms[i], ret_id)) {
            *ret_runtime = forms[i].runtime;
            return true;
        }
    return false;
}

/* A pod's uid: a UUID, whose hyphens systemd's unit names need as underscores, or the hash of a static pod.
 */
static bool take_pod(const char *uid, size_t len, char between, char *ret_pod)
{
    if (len != 36 && len != 32)
        return false;
    for (size_t i = 0; i < len; i++) {
        bool hyphen = len == 36 && (i == 8 || i == 13 || i == 18 || i == 23);
        if (hyphen ? uid[i] != between : !is_hex(uid[i]))
            return false;
        ret_pod[i] = hyphen ? '-' : uid[i];
    }
    ret_pod[len] = '\0';
    return true;
}

/* …/PREFIX uid SUFFIX/… */
static bool take_pod_part(const char **path, const char *prefix, const char *suffix, char *ret_pod)
{
    const char *part = NULL;
    size_t len = 0;
    size_t before = strlen(prefix);
    size_t after = strlen(suffix);
    const char *rest = *path;
    if (!next_part(&rest, &part, &len) || len <= before + after || memcmp(part, prefix, before) != 0 ||
        memcmp(part + len - after, suffix, after) != 0)
        return false;
    if (!take_pod(part + before, len - before - after, after > 0 ? '_' : '-', ret_pod))
        return false;
    *path = rest;
    return true;
}

static bool in_pod(const char *path, char *ret_pod, const char **ret_rest, bool *ret_systemd)
{
    static const char *const qos[] = {"burstable", "besteffort"};
    *ret_systemd = take_part(&path, "kubepods.slice");
    if (!*ret_systemd && !take_part(&path, "kubepods"))
        return false;
    const char *class = NULL;
    for (size_t i = 0; i < LH_ARRAY_LEN(qos) && !class; i++) {
        char name[64];
        (void)snprintf(name, sizeof(name), *ret_systemd ? "kubepods-%s.slice" : "%s", qos[i]);
        if (take_part(&path, name))
            class = qos[i];
    }
    char prefix[64] = "pod";
    if (*ret_systemd)
        (void)snprintf(prefix, sizeof(prefix), "kubepods-%s%spod", class ? class : "", class ? "-" : "");
    bool found = take_pod_part(&path, prefix, *ret_systemd ? ".slice" : "", ret_pod);
    *ret_rest = path;
    return found;
}

bool lh_proc_container_parse(
    const char *path, enum lh_container_runtime *ret_runtime, char *ret_id, char *ret_pod)
{
    static const form docker_scope[] = {{"docker-", ".scope", LH_CONTAINER_DOCKER}};
    static const form docker_plain[] = {{"", "", LH_CONTAINER_DOCKER}};
    static const form podman_scope[] = {{"libpod-", ".scope", LH_CONTAINER_PODMAN}};
    static const form podman_plain[] = {{"libpod-", "", LH_CONTAINER_PODMAN}};
    static const form pod_scopes[] = {{"cri-containerd-", ".scope", LH_CONTAINER_CONTAINERD},
        {"crio-", ".scope", LH_CONTAINER_CRIO}, {"docker-", ".scope", LH_CONTAINER_DOCKER},
        {"libpod-", ".scope", LH_CONTAINER_PODMAN}};
    static const form pod_plain[] = {{"", "", LH_CONTAINER_KUBERNETES}, {"crio-", "", LH_CONTAINER_CRIO}};
    *ret_runtime = LH_CONTAINER_NONE;
    ret_id[0] = '\0';
    ret_pod[0] = '\0';
    const char *rest = path;
    if (take_part(&rest, "system.slice"))
        return take_container(rest, docker_scope, LH_ARRAY_LEN(docker_scope), ret_runtime, ret_id);
    if (take_part(&rest, "docker"))
        return take_container(rest, docker_plain, LH_ARRAY_LEN(docker_plain), ret_runtime, ret_id);
    if (take_part(&rest, "machine.slice"))
        return take_container(rest, podman_scope, LH_ARRAY_LEN(podman_scope), ret_runtime, ret_id);
    if (take_part(&rest, "libpod_parent"))
        return take_container(rest, podman_plain, LH_ARRAY_LEN(podman_plain), ret_runtime, ret_id);
    bool systemd = false;
    if (!in_pod(path, ret_pod, &rest, &systemd)) {
        ret_pod[0] = '\0';
        return false;
    }
    const form *forms = systemd ? pod_scopes : pod_plain;
    size_t count = systemd ? LH_ARRAY_LEN(pod_scopes) : LH_ARRAY_LEN(pod_plain);
    if (take_container(rest, forms, count, ret_runtime, ret_id))
        return true;
    ret_pod[0] = '\0';
    return false;
}
