#include "identity/procfs.h"

#include <stdio.h>

/* A span that is consumed from the front. */
typedef struct {
    const char *at;
    size_t left;
} text;

static text text_new(lh_bytes bytes)
{
    return (text){(const char *)bytes.data, bytes.len};
}

static void text_skip(text *t, size_t n)
{
    t->at += n;
    t->left -= n;
}

/* The next line without its line break; false at the end. */
static bool text_line(text *t, text *ret)
{
    if (t->left == 0)
        return false;
    const char *end = memchr(t->at, '\n', t->left);
    size_t len = end ? (size_t)(end - t->at) : t->left;
    *ret = (text){t->at, len};
    text_skip(t, end ? len + 1 : len);
    return true;
}

static bool text_prefix(text *t, const char *prefix)
{
    size_t len = strlen(prefix);
    if (t->left < len || memcmp(t->at, prefix, len) != 0)
        return false;
    text_skip(t, len);
    return true;
}

static void text_skip_blanks(text *t)
{
    while (t->left > 0 && (*t->at == ' ' || *t->at == '\t'))
        text_skip(t, 1);
}

/* A decimal number at the front; false where there is none or it does not fit. */
static bool text_number(text *t, uint64_t *ret)
{
    uint64_t value = 0;
    size_t digits = 0;
    while (t->left > 0 && *t->at >= '0' && *t->at <= '9') {
        uint64_t digit = (uint64_t)(*t->at - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
        digits++;
        text_skip(t, 1);
    }
    *ret = value;
    return digits > 0;
}

/* The next field, up to a blank or the end; false where there is none. */
static bool text_field(text *t, text *ret)
{
    text_skip_blanks(t);
    size_t len = 0;
    while (len < t->left && t->at[len] != ' ' && t->at[len] != '\t')
        len++;
    *ret = (text){t->at, len};
    text_skip(t, len);
    return len > 0;
}

static lh_err malformed(const char *what)
{
    return LH_REFUSE(LH_E_CORRUPT, "proc-malformed", "%s of a process does not parse", what);
}

/* Keeps the fields that matter; the rest only has to be there. Numbers with a sign belong to none of them. */
static bool stat_field(lh_proc_stat *stat, unsigned number, text field)
{
    uint64_t *keep = NULL;
    if (number == 22)
        keep = &stat->start_time;
    else if (number == 26)
        keep = &stat->start_code;
    else if (number == 27)
        keep = &stat->end_code;
    else if (number == 28)
        keep = &stat->start_stack;
    else if (number >= 45 && number <= 51)
        keep = &stat->addresses[number - 45];
    return !keep || (text_number(&field, keep) && field.left == 0);
}

lh_err lh_proc_stat_parse(lh_bytes bytes, lh_proc_stat *ret)
{
    lh_proc_stat stat = {0};
    text all = text_new(bytes);
    text field;
    uint64_t pid = 0;
    if (!text_number(&all, &pid) || pid == 0 || pid > INT32_MAX || !text_prefix(&all, " ("))
        return malformed("stat");
    stat.pid = (pid_t)pid;
    /* The name is the process's to choose and may hold ") R 1 …": it ends at the last parenthesis. */
    const char *close = all.left > 0 ? memrchr(all.at, ')', all.left) : NULL;
    if (!close)
        return malformed("stat");
    text_skip(&all, (size_t)(close - all.at) + 1);
    if (all.left > 0 && all.at[all.left - 1] == '\n')
        all.left--;
    if (!text_field(&all, &field) || field.left != 1)
        return malformed("stat");
    stat.state = *field.at;
    unsigned number = 4;
    for (; text_field(&all, &field); number++)
        if (!stat_field(&stat, number, field))
            return malformed("stat");
    if (number <= 51)
        return malformed("stat");
    *ret = stat;
    return LH_SUCCESS;
}

static bool four_ids(text line, uint32_t ids[4])
{
    for (int i = 0; i < 4; i++) {
        uint64_t value;
        text field;
        if (!text_field(&line, &field) || !text_number(&field, &value) || field.left != 0 ||
            value > UINT32_MAX)
            return false;
        ids[i] = (uint32_t)value;
    }
    text_skip_blanks(&line);
    return line.left == 0;
}

lh_err lh_proc_status_parse(lh_bytes bytes, lh_proc_status *ret)
{
    lh_proc_status status = {0};
    unsigned seen = 0;
    text all = text_new(bytes);
    text line;
    while (text_line(&all, &line)) {
        text field;
        uint64_t value;
        unsigned bit = 0;
        bool good = true;
        if (text_prefix(&line, "Uid:")) {
            bit = 1;
            good = four_ids(line, status.uids);
        } else if (text_prefix(&line, "Gid:")) {
            bit = 2;
            good = four_ids(line, status.gids);
        } else if (text_prefix(&line, "TracerPid:")) {
            bit = 4;
            good = text_field(&line, &field) && text_number(&field, &value) && field.left == 0 &&
                   value <= INT32_MAX;
            status.tracer_pid = good ? (pid_t)value : 0;
        }
        if (!good || (seen & bit))
            return malformed("status");
        seen |= bit;
    }
    if (seen != 7)
        return malformed("status");
    *ret = status;
    return LH_SUCCESS;
}

lh_err lh_proc_cgroup_parse(lh_bytes bytes, char *ret_path, size_t size)
{
    text all = text_new(bytes);
    text line;
    text path = {NULL, 0};
    while (text_line(&all, &line)) {
        if (!text_prefix(&line, "0::"))
            continue;
        if (path.at || line.left == 0 || *line.at != '/' || memchr(line.at, '\0', line.left))
            return malformed("cgroup");
        path = line;
    }
    if (path.left >= size)
        return LH_REFUSE(LH_E_LIMIT, "path-too-long", "a cgroup's path of %zu bytes is too long", path.left);
    if (path.left > 0)
        memcpy(ret_path, path.at, path.left);
    ret_path[path.left] = '\0';
    return LH_SUCCESS;
}

/* What systemd allows in a unit's name (VALID_CHARS of its unit names). */
static bool is_unit_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr(":-_.\\@", c));
}

bool lh_proc_unit_parse(const char *path, char *ret_unit, size_t size)
{
    static const char slice[] = "/system.slice/";
    static const char suffix[] = ".service";
    ret_unit[0] = '\0';
    if (strncmp(path, slice, sizeof(slice) - 1) != 0)
        return false;
    const char *name = path + sizeof(slice) - 1;
    size_t len = strlen(name);
    if (len <= sizeof(suffix) - 1 || len >= size || strcmp(name + len - (sizeof(suffix) - 1), suffix) != 0)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_unit_char(name[i]))
            return false;
    memcpy(ret_unit, name, len + 1);
    return true;
}

/* Whether word is one of a comma-separated list. */
static bool list_has(text list, const char *word)
{
    size_t len = strlen(word);
    while (list.left > 0) {
        const char *comma = memchr(list.at, ',', list.left);
        size_t item = comma ? (size_t)(comma - list.at) : list.left;
        if (item == len && memcmp(list.at, word, len) == 0)
            return true;
        text_skip(&list, comma ? item + 1 : item);
    }
    return false;
}

lh_err lh_proc_mount_parse(lh_bytes bytes, lh_proc_mount *ret)
{
    text line = text_new(bytes);
    text field;
    lh_proc_mount mount = {0};
    if (!text_number(&line, &mount.id))
        return malformed("mountinfo");
    /* Six fields are fixed; the optional ones end with a lone hyphen. Paths have their blanks escaped. */
    for (unsigned number = 2; text_field(&line, &field); number++) {
        if (number == 6)
            mount.nosuid = list_has(field, "nosuid");
        if (number <= 6 || field.left != 1 || *field.at != '-')
            continue;
        if (!text_field(&line, &field) || field.left >= sizeof(mount.type))
            break;
        memcpy(mount.type, field.at, field.left);
        *ret = mount;
        return LH_SUCCESS;
    }
    return malformed("mountinfo");
}

lh_err lh_proc_mount_find(lh_bytes bytes, uint64_t id, lh_proc_mount *ret)
{
    text all = text_new(bytes);
    text line;
    while (text_line(&all, &line)) {
        text start = line;
        uint64_t number;
        if (text_number(&start, &number) && number == id)
            return lh_proc_mount_parse(LH_BYTES(line.at, line.left), ret);
    }
    return LH_FAIL(LH_E_NOT_FOUND, "there is no mount %llu", (unsigned long long)id);
}

bool lh_proc_mount_is_local(const lh_proc_mount *mount)
{
    static const char *const types[] = {"bcachefs", "btrfs", "cramfs", "erofs", "exfat", "ext2", "ext3",
        "ext4", "f2fs", "iso9660", "jfs", "nilfs2", "ntfs3", "overlay", "ramfs", "reiserfs", "rootfs",
        "squashfs", "tmpfs", "udf", "vfat", "xfs", "zfs"};
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++)
        if (strcmp(mount->type, types[i]) == 0)
            return true;
    return false;
}

static bool ends_with(const char *s, const char *suffix)
{
    size_t len = strlen(s);
    size_t tail = strlen(suffix);
    return len > tail && strcmp(s + len - tail, suffix) == 0;
}

bool lh_proc_label_confines(const char *label, bool selinux_enforces)
{
    if (ends_with(label, " (enforce)") || ends_with(label, " (kill)"))
        return true;
    /* user:role:type[:level] */
    const char *role = strchr(label, ':');
    const char *type = role ? strchr(role + 1, ':') : NULL;
    if (!type || !selinux_enforces || strchr(label, ' '))
        return false;
    type++;
    return *type && strncmp(type, "unconfined_", 11) != 0 && strncmp(type, "kernel_t", 8) != 0;
}
