/* What is stored of a standalone partition and of a token object: records of kinds partition and object.
 *
 *   partition: u8 1 ‖ u64 number ‖ blob name ‖ raw label[32] ‖ u8 flags ‖ u64 token generation ‖ u64 created
 *              ‖ PIN of the SO ‖ PIN of the user
 *   PIN:       u8 set ‖ [u8 log N ‖ u8 r ‖ u8 p ‖ salt[16] ‖ check[32]] ‖ u64 generation ‖ u32 failures
 *              ‖ u64 boot time of the last (ms) ‖ boot id[16]
 *   object:    u8 1 ‖ u64 order ‖ u64 reserved uses ‖ blob attributes (the wire's encoding)
 *
 * Pure. The records come from the vault itself, authenticated; decoding takes any bytes all the same. */
#ifndef LH_OBJECT_PARTITION_RECORD_H
#define LH_OBJECT_PARTITION_RECORD_H

#include "object/partition.h"

#define LH_PARTITION_RECORD_MAX 1024    /* bytes of the encoding */
#define LH_OBJECT_ATTRIBUTES_MAX 131072 /* bytes of an object's attributes, key values included */
#define LH_OBJECT_RECORD_MAX (LH_OBJECT_ATTRIBUTES_MAX + 64)

typedef struct {
    uint64_t number;
    char name[LH_LIMIT_PARTITION_NAME + 1]; /* "" for one that was made of a blank one */
    uint8_t label[LH_PARTITION_LABEL_SIZE];
    bool initialized;
    bool made_of_blank;        /* development: not in the configuration */
    uint64_t token_generation; /* rises with each initialisation */
    int64_t created;           /* wall seconds */
    lh_pin so;
    lh_pin user;
} lh_partition_record;

void lh_partition_record_encode(const lh_partition_record *record, lh_buf *out);
/* LH_E_CORRUPT, reason "partition-record". */
LH_MUST lh_err lh_partition_record_decode(lh_bytes bytes, lh_partition_record *ret);

typedef struct {
    uint64_t order;      /* of creation, rising; never 0 */
    uint64_t reserved;   /* uses of a key whose uses are limited */
    lh_bytes attributes; /* borrowed */
} lh_object_record;

void lh_object_record_encode(const lh_object_record *record, lh_buf *out);
/* LH_E_CORRUPT, reason "object-record". */
LH_MUST lh_err lh_object_record_decode(lh_bytes bytes, lh_object_record *ret);

lh_record_id lh_partition_record_id(const uint8_t id[LH_PARTITION_ID_SIZE]);
lh_record_id lh_object_record_id(const uint8_t partition[LH_PARTITION_ID_SIZE], uint64_t handle);
/* The handle in an object's id. */
uint64_t lh_object_record_handle(const lh_record_id *id);

#endif
