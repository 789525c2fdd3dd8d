/* Parsers of /proc texts: the first byte chooses which. */
#include "identity/identity.h"
#include "identity/procfs.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unit(const char *path)
{
    char name[LH_IDENTITY_UNIT_SIZE];
    if (!lh_proc_unit_parse(path, name, sizeof(name)))
        return;
    char whole[LH_IDENTITY_UNIT_SIZE + 32];
    snprintf(whole, sizeof(whole), "/system.slice/%s", name);
    if (strcmp(whole, path) != 0 || strchr(name, '/'))
        abort();
}

static void mount(lh_bytes text)
{
    lh_proc_mount found;
    if (lh_ok(lh_proc_mount_parse(text, &found)))
        (void)lh_proc_mount_is_local(&found);
    LH_IGNORE(lh_proc_mount_find(text, 1, &found));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 65536)
        return 0;
    lh_bytes text = LH_BYTES(data + 1, size - 1);
    lh_proc_stat stat;
    lh_proc_status status;
    char path[LH_IDENTITY_PATH_SIZE];
    switch (data[0] % 5) {
    case 0: LH_IGNORE(lh_proc_stat_parse(text, &stat)); break;
    case 1: LH_IGNORE(lh_proc_status_parse(text, &status)); break;
    case 2:
        if (lh_ok(lh_proc_cgroup_parse(text, path, sizeof(path))))
            unit(path);
        break;
    case 3: mount(text); break;
    default:
        snprintf(path, sizeof(path), "%.*s", (int)text.len, text.len ? (const char *)text.data : "");
        (void)lh_proc_label_confines(path, true);
        break;
    }
    return 0;
}
