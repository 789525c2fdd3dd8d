/* What the vault knows of the process that asks, in plain types: all that a decision depends on besides the
 * policy. Everything is borrowed for the time of one call. */
#ifndef LH_POLICY_FACTS_H
#define LH_POLICY_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *name;
    const char *value;
} lh_policy_label;

/* A hold in force. Every selector that is not NULL must match for the hold to apply; one without any
 * selector applies to everything. */
typedef struct {
    const char *id;
    const char *workload; /* SPIFFE ID */
    const char *role;
    const char *host;
} lh_policy_hold;

typedef struct {
    /* The process, as the attest process saw it. Strings are NULL where not known; NULL matches nothing. */
    uint32_t uid;
    const char *user; /* of a remote process, by its host: what `user` matches. Otherwise for texts only */
    const char *exe;  /* absolute path in the initial mount namespace */
    uint8_t exe_sha256[32];
    bool exe_counts;       /* the digest above is of a file whose content the kernel keeps (no FUSE …) */
    bool exe_trusted_path; /* file and every folder above it: root's, and writable by nobody else */
    const char *unit;      /* "NAME" where the cgroup is exactly /system.slice/NAME; NULL otherwise */
    bool exe_has_verity;   /* exe_verity is its fs-verity digest */
    uint8_t exe_verity[32];
    const char *container_runtime; /* "docker", …; NULL outside of containers */
    const char *container_id;
    const char *pod;
    const char *pod_labels; /* "NAME=VALUE" and a line break each */
    const char *lsm;        /* label of AppArmor or SELinux; NULL where unconfined or none */
    bool userns_same;       /* in the initial user namespace */
    bool traced;            /* a debugger is attached */

    /* The host. */
    bool remote;      /* another than the vault's: users' names are its own, and not looked up here */
    const char *host; /* its name, for holds; NULL where it has none */
    const lh_policy_label *host_labels;
    size_t host_label_count;
    const char *source;    /* network address that it is connected from, as text; NULL where there is none */
    const char *assurance; /* "self", … for texts; NULL where there is no evidence */
    bool evidence_ok;      /* the verifier accepted the host's evidence */
    int64_t evidence_age;  /* seconds since the evidence's nonce was issued */

    /* The request. */
    int64_t now;           /* wall time, seconds since 1970 UTC */
    unsigned use;          /* LH_USE_… bit of p11/mechanism.h; 0 where no use is asked for yet */
    const char *mechanism; /* a mechanism row's name; NULL where none is asked for yet */
    const lh_policy_hold *holds;
    size_t hold_count;
} lh_policy_facts;

#endif
