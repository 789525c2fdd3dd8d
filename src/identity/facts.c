#include "identity/facts.h"

#include "codec/bin.h"

#define FACTS_VERSION 2
#define FLAGS_1 ((1u << 7) - 1) /* that version 1 had */

void lh_facts_encode(const lh_identity *identity, lh_buf *out)
{
    lh_put_u8(out, FACTS_VERSION);
    lh_put_u32(out, (uint32_t)identity->pid);
    lh_put_u64(out, identity->start_time);
    lh_put_raw(out, identity->boot_id, sizeof(identity->boot_id));
    lh_put_u32(out, identity->uid);
    lh_put_u32(out, identity->gid);
    lh_put_u32(out, identity->flags);
    lh_put_u32(out, (uint32_t)identity->tracer_pid);
    lh_put_u64(out, identity->user_ns);
    lh_put_u64(out, identity->pid_ns);
    lh_put_u64(out, identity->mount_ns);
    lh_put_u8(out, (uint8_t)identity->exe_status);
    lh_put_raw(out, identity->exe_sha256, sizeof(identity->exe_sha256));
    lh_put_u64(out, identity->exe_dev);
    lh_put_u64(out, identity->exe_ino);
    lh_put_u64(out, identity->exe_size);
    lh_put_u64(out, (uint64_t)identity->exe_mtime_ns);
    lh_put_u64(out, (uint64_t)identity->exe_ctime_ns);
    lh_put_str(out, identity->exe_path);
    lh_put_str(out, identity->cgroup);
    lh_put_str(out, identity->unit);
    lh_put_str(out, identity->lsm_label);
    lh_put_raw(out, identity->exe_verity, sizeof(identity->exe_verity));
    lh_put_str(out, identity->invocation);
    lh_put_u8(out, (uint8_t)identity->container_runtime);
    lh_put_str(out, identity->container_id);
    lh_put_str(out, identity->pod);
    lh_put_str(out, identity->pod_labels);
    lh_put_str(out, identity->user);
    lh_put_raw(out, identity->exec_fingerprint, sizeof(identity->exec_fingerprint));
}

static void read_exe(lh_reader *r, lh_identity *id)
{
    uint8_t status = lh_read_u8(r);
    r->bad = r->bad || status >= LH_EXE_STATUS_COUNT;
    id->exe_status = r->bad ? LH_EXE_UNREADABLE : (enum lh_exe_status)status;
    lh_read_into(r, id->exe_sha256, sizeof(id->exe_sha256));
    id->exe_dev = lh_read_u64(r);
    id->exe_ino = lh_read_u64(r);
    id->exe_size = lh_read_u64(r);
    id->exe_mtime_ns = (int64_t)lh_read_u64(r);
    id->exe_ctime_ns = (int64_t)lh_read_u64(r);
    lh_read_str(r, id->exe_path, sizeof(id->exe_path));
}

static void read_version_2(lh_reader *r, lh_identity *id)
{
    lh_read_into(r, id->exe_verity, sizeof(id->exe_verity));
    lh_read_str(r, id->invocation, sizeof(id->invocation));
    uint8_t runtime = lh_read_u8(r);
    r->bad = r->bad || runtime >= LH_CONTAINER_COUNT;
    id->container_runtime = r->bad ? LH_CONTAINER_NONE : (enum lh_container_runtime)runtime;
    lh_read_str(r, id->container_id, sizeof(id->container_id));
    lh_read_str(r, id->pod, sizeof(id->pod));
    lh_read_str(r, id->pod_labels, sizeof(id->pod_labels));
    lh_read_str(r, id->user, sizeof(id->user));
}

lh_err lh_facts_decode(lh_bytes bytes, lh_identity *ret)
{
    lh_identity id = {0};
    lh_reader r = lh_reader_new(bytes);
    const uint8_t version = lh_read_u8(&r);
    if (version != 1 && version != FACTS_VERSION)
        return LH_FAIL(LH_E_CORRUPT, "facts of a process in a format past version %d", FACTS_VERSION);
    id.pid = (pid_t)lh_read_u32(&r);
    id.start_time = lh_read_u64(&r);
    lh_read_into(&r, id.boot_id, sizeof(id.boot_id));
    id.uid = lh_read_u32(&r);
    id.gid = lh_read_u32(&r);
    id.flags = lh_read_u32(&r);
    id.tracer_pid = (pid_t)lh_read_u32(&r);
    id.user_ns = lh_read_u64(&r);
    id.pid_ns = lh_read_u64(&r);
    id.mount_ns = lh_read_u64(&r);
    read_exe(&r, &id);
    lh_read_str(&r, id.cgroup, sizeof(id.cgroup));
    lh_read_str(&r, id.unit, sizeof(id.unit));
    lh_read_str(&r, id.lsm_label, sizeof(id.lsm_label));
    if (version > 1)
        read_version_2(&r, &id);
    lh_read_into(&r, id.exec_fingerprint, sizeof(id.exec_fingerprint));
    r.bad = r.bad || id.pid <= 0 || id.tracer_pid < 0 ||
            (id.flags & ~(version > 1 ? (uint32_t)LH_IDENTITY_FLAGS_ALL : FLAGS_1)) != 0;
    LH_TRY(lh_read_done(&r, "facts of a process"));
    *ret = id;
    return LH_SUCCESS;
}
