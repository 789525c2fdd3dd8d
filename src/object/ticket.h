/* Tickets: what a process that has logged in resumes its login with after its connection was lost (the daemon
 * was restarted), so that the module keeps no PIN.
 *
 * A ticket is sealed (AES-256-GCM, a key of its own each time) under a key that only the vault's root key
 * yields, and good for one process, one partition and one PIN only. On the wire:
 *
 *   u8 2 ‖ salt[16] ‖ nonce[12] ‖ ciphertext ‖ tag[16]
 *   plaintext: u64 partition ‖ partition id[16] ‖ u64 token generation ‖ u64 PIN generation ‖ u32 user
 *              ‖ u32 pid ‖ u64 start time ‖ u32 uid ‖ boot id[16] ‖ u64 run ‖ u64 number
 *   associated data: "leasehold-ticket-v1" ‖ vault id[32]
 *   key: HKDF-SHA-256(ticket key, salt = salt, info = "leasehold-ticket-v1")
 *
 * Pure. Threads: any. */
#ifndef LH_OBJECT_TICKET_H
#define LH_OBJECT_TICKET_H

#include "base/secret.h"
#include "crypto/crypto.h"
#include "object/logouts.h"

typedef struct {
    uint64_t partition; /* number */
    uint8_t partition_id[16];
    uint64_t token_generation; /* rises with C_InitToken */
    uint64_t pin_generation;
    uint32_t user; /* CKU_… */
    uint32_t pid;
    uint64_t start_time;
    uint32_t uid;
    uint8_t boot_id[16];
    lh_login_id login; /* a logout ends it */
} lh_ticket;

/* key: 32 bytes. The ticket is appended to ret. */
LH_MUST lh_err lh_ticket_seal(lh_crypto *crypto, const lh_secret *key, const uint8_t vault_id[32],
    const lh_ticket *ticket, lh_buf *ret);
/* Any bytes are safe to pass. LH_E_DENIED (reason "user-not-logged-in") where they are no ticket of this
 * vault. Whether it is this process's is the caller's to compare. */
LH_MUST lh_err lh_ticket_open(
    lh_crypto *crypto, const lh_secret *key, const uint8_t vault_id[32], lh_bytes sealed, lh_ticket *ret);

#endif
