/* What custody.c keeps of a host, as a part of lh_host; for host_*.c. All under hosts->mutex. */
#ifndef LH_VAULT_CUSTODY_INTERNAL_H
#define LH_VAULT_CUSTODY_INTERNAL_H

#include "custody/package.h"
#include "vault/internal.h"
#include "wire/link.h"

/* One lease whose key was given to the host. */
typedef struct lh_custody_lease lh_custody_lease;
struct lh_custody_lease {
    lh_custody_lease *next;
    lh_lease *lease;
    uint32_t stream;
    uint64_t handle;
    lh_custody_terms terms; /* pcrs is not kept */
    uint8_t pcrs_hash[32];
    lh_custody_package package;
    int64_t approved_ms; /* boot time until which the last approval runs */
};

typedef struct {
    uint8_t nonce[32]; /* of the question under way */
    int64_t asked_ms;  /* 0: none */
    bool asked_storage;
    unsigned answers;      /* that have come: who waits sees it change */
    lh_err_detail failure; /* of the last one */
    bool have_storage;
    size_t storage_len;
    uint8_t storage[LH_CUSTODY_PUBLIC_MAX];
    lh_custody_time time;
    int64_t time_at_ms; /* boot time at which that came; 0: never */
    uint32_t pcr_mask;  /* of the last good evidence */
    uint8_t pcrs[LH_CUSTODY_PCRS][32];
    lh_custody_lease *leases;
    uint32_t next_pin;
} lh_host_custody;

typedef struct lh_host lh_host;

/* An approval that is to be signed and sent. */
typedef struct {
    lh_host *host;
    lh_lease *lease;  /* a reference, in hosts->due */
    int64_t until_ms; /* boot time at which it has run out */
    lh_link_approval approval;
} lh_custody_due;

/* The link is gone, and with it what it said. */
void lh_custody_cut(lh_host *host);
/* The keeper's round: withdraw, ask for the time, and put what is to be approved anew into hosts->due. Under
 * core_lock (read), too. */
void lh_custody_keep(lh_hosts *hosts, lh_host *host, const lh_rules *rules);
/* Sign and send what is due. On the keeper, under core_lock (read) but not hosts->mutex: hundreds of
 * signatures take longer than others should wait. */
void lh_custody_sign(lh_hosts *hosts);

#endif
