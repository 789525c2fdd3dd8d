#include "record/head.h"

#include "codec/bin.h"

lh_err lh_head_element_make(lh_crypto *crypto, const lh_secret *sum_key, const lh_record_place *place,
    const uint8_t digest[LH_SHA256_SIZE], lh_head_element *ret)
{
    LH_AUTO(lh_buf_free) lh_buf input = LH_BUF_INIT(128);
    lh_put_u16(&input, (uint16_t)place->kind);
    lh_put_raw(&input, place->id.b, sizeof(place->id.b));
    lh_put_u64(&input, place->version);
    lh_put_raw(&input, digest, LH_SHA256_SIZE);
    LH_TRY(lh_buf_status(&input));
    lh_head_element element = {.place = *place};
    for (size_t i = 0; i < 8; i++)
        element.tag = element.tag << 8 | digest[i];
    lh_bytes part = lh_buf_bytes(&input);
    LH_TRY(lh_hmac_sha256(crypto, lh_secret_bytes(sum_key), &part, 1, element.sum));
    *ret = element;
    return LH_SUCCESS;
}

/* FNV-1a of the id, odd, so that multiplying by it loses nothing. */
static uint64_t weight_of(const lh_record_id *id)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof(id->b); i++)
        hash = (hash ^ id->b[i]) * 0x100000001b3u;
    return hash | 1;
}

static void change_ids(lh_head_cell *cell, const lh_record_id *id)
{
    for (size_t i = 0; i < sizeof(id->b); i++)
        cell->id_xor[i] ^= id->b[i];
}

void lh_head_add(lh_head *head, const lh_head_element *element)
{
    lh_head_cell *cell = &head->cells[element->place.kind];
    unsigned carry = 0;
    for (size_t i = LH_SHA256_SIZE; i-- > 0;) {
        carry += (unsigned)cell->sum[i] + element->sum[i];
        cell->sum[i] = (uint8_t)carry;
        carry >>= 8;
    }
    cell->count++;
    cell->tag_sum += element->tag;
    cell->tag_sum_weighted += element->tag * weight_of(&element->place.id);
    change_ids(cell, &element->place.id);
}

void lh_head_remove(lh_head *head, const lh_head_element *element)
{
    lh_head_cell *cell = &head->cells[element->place.kind];
    unsigned borrow = 0;
    for (size_t i = LH_SHA256_SIZE; i-- > 0;) {
        unsigned take = (unsigned)element->sum[i] + borrow;
        borrow = cell->sum[i] < take ? 1 : 0;
        cell->sum[i] = (uint8_t)(cell->sum[i] - take);
    }
    cell->count--;
    cell->tag_sum -= element->tag;
    cell->tag_sum_weighted -= element->tag * weight_of(&element->place.id);
    change_ids(cell, &element->place.id);
}

bool lh_head_cell_equal(const lh_head_cell *a, const lh_head_cell *b)
{
    return a->count == b->count && lh_equal_ct(a->sum, b->sum, sizeof(a->sum));
}

bool lh_head_cell_blames(const lh_head_cell *expected, const lh_head_cell *found, const lh_record_id *id)
{
    uint64_t difference = found->tag_sum - expected->tag_sum;
    uint64_t weighted = found->tag_sum_weighted - expected->tag_sum_weighted;
    return difference != 0 && difference * weight_of(id) == weighted;
}

/* The kinds of the first version always have a cell. A later one has it while there are records of it, so
 * that a version that does not know the kind opens the store for as long as it holds none. */
static bool has_cell(const lh_head *head, unsigned kind)
{
    return kind <= LH_RECORD_SETTINGS || head->cells[kind].count > 0;
}

void lh_head_encode(const lh_head *head, lh_buf *out)
{
    uint16_t cells = 0;
    for (unsigned kind = LH_RECORD_CONFIG; kind < LH_RECORD_KIND_END; kind++)
        cells = (uint16_t)(cells + (has_cell(head, kind) ? 1 : 0));
    lh_put_u8(out, LH_HEAD_FORMAT);
    lh_put_u64(out, head->sequence);
    lh_put_u64(out, head->writes);
    lh_put_u16(out, cells);
    for (unsigned kind = LH_RECORD_CONFIG; kind < LH_RECORD_KIND_END; kind++) {
        const lh_head_cell *cell = &head->cells[kind];
        if (!has_cell(head, kind))
            continue;
        lh_put_u16(out, (uint16_t)kind);
        lh_put_u64(out, cell->count);
        lh_put_raw(out, cell->sum, sizeof(cell->sum));
        lh_put_raw(out, cell->id_xor, sizeof(cell->id_xor));
        lh_put_u64(out, cell->tag_sum);
        lh_put_u64(out, cell->tag_sum_weighted);
    }
}

lh_err lh_head_decode(lh_bytes bytes, lh_head *ret)
{
    lh_reader r = lh_reader_new(bytes);
    if (lh_read_u8(&r) != LH_HEAD_FORMAT)
        return LH_REFUSE(
            LH_E_UNSUPPORTED, "record-newer", "the head record has a format that this version does not know");
    lh_head head = {0};
    head.sequence = lh_read_u64(&r);
    head.writes = lh_read_u64(&r);
    uint16_t cells = lh_read_u16(&r);
    unsigned before = 0;
    for (unsigned i = 0; i < cells && !r.bad; i++) {
        uint16_t kind = lh_read_u16(&r);
        if (kind >= LH_RECORD_KIND_END)
            return LH_REFUSE(LH_E_UNSUPPORTED, "record-newer",
                "the store holds records of kind %u, which this version does not know: a newer one wrote it",
                kind);
        /* Kinds that are missing are empty. */
        if (kind <= before || kind < LH_RECORD_CONFIG)
            return LH_REFUSE(LH_E_CORRUPT, "record-altered", "head: kind %u has no place in it", kind);
        before = kind;
        lh_head_cell *cell = &head.cells[kind];
        cell->count = lh_read_u64(&r);
        lh_read_into(&r, cell->sum, sizeof(cell->sum));
        lh_read_into(&r, cell->id_xor, sizeof(cell->id_xor));
        cell->tag_sum = lh_read_u64(&r);
        cell->tag_sum_weighted = lh_read_u64(&r);
    }
    LH_TRY(lh_read_done(&r, "head"));
    *ret = head;
    return LH_SUCCESS;
}
