#include "common/codec/step.h"

coh_addr_t const COH_SYSTEM_ADDR = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe}};

coh_addr_t const COH_DAO_REFUND_ADDR = {{0xbf, 0x4e, 0xd7, 0xb2, 0x7f, 0x1d, 0x66,
                                         0x65, 0x46, 0xe3, 0x0d, 0x74, 0xd5, 0x0d,
                                         0x17, 0x3d, 0x20, 0xbc, 0xa7, 0x54}};

coh_addr_t const COH_DAO_ACCOUNTS[COH_DAO_ACCOUNT_CNT] = {
#define COH_DAO_ACCOUNT(...) {{__VA_ARGS__}},
#include "common/codec/dao.def"
#undef COH_DAO_ACCOUNT
};
_Static_assert(sizeof(COH_DAO_ACCOUNTS) == COH_DAO_ACCOUNT_CNT * sizeof(coh_addr_t),
               "one row each");

void coh_step_put_credit(coh_buf_t *list, coh_addr_t const *addr, coh_u256_t const *amount)
{
    size_t at = list->n;
    coh_rlp_put_string(list, addr->b, sizeof(addr->b));
    coh_rlp_put_u256(list, amount);
    coh_rlp_wrap_list(list, at);
}

coh_rlp_t coh_step_credit_iter(coh_step_t const *step) { return coh_rlp_reader(step->list); }

static coh_err_t read_credit(coh_rlp_t *list, coh_addr_t *addr, coh_u256_t *amount)
{
    coh_rlp_t credit;
    COH_TRY(coh_rlp_list(list, &credit));
    COH_TRY(coh_rlp_fixed(&credit, addr->b, sizeof(addr->b)));
    COH_TRY(coh_rlp_u256(&credit, amount));
    return coh_rlp_end(&credit);
}

bool coh_step_credit_next(coh_rlp_t *list, coh_addr_t *addr, coh_u256_t *amount)
{
    return !coh_rlp_at_end(list) && read_credit(list, addr, amount) == COH_OK;
}

void coh_step_put_patch(coh_buf_t *list, coh_step_patch_t const *patch)
{
    size_t at = list->n;
    coh_rlp_put_string(list, patch->addr.b, sizeof(patch->addr.b));
    coh_rlp_put_u64(list, patch->fields);
    coh_rlp_put_u64(list, patch->number);
    coh_rlp_put_u256(list, &patch->word);
    coh_rlp_put_string(list, patch->hash.b, sizeof(patch->hash.b));
    coh_rlp_put_string(list, patch->code.p, patch->code.n);
    coh_rlp_wrap_list(list, at);
}

static coh_err_t read_patch(coh_rlp_t *list, coh_step_patch_t *patch)
{
    coh_rlp_t in;
    uint64_t fields;
    COH_TRY(coh_rlp_list(list, &in));
    COH_TRY(coh_rlp_fixed(&in, patch->addr.b, sizeof(patch->addr.b)));
    COH_TRY(coh_rlp_u64(&in, &fields));
    COH_TRY(coh_rlp_u64(&in, &patch->number));
    COH_TRY(coh_rlp_u256(&in, &patch->word));
    COH_TRY(coh_rlp_fixed(&in, patch->hash.b, sizeof(patch->hash.b)));
    COH_TRY(coh_rlp_string(&in, &patch->code));
    bool is_slot = (fields & COH_PATCH_SLOT) != 0;
    uint64_t mask =
        is_slot ? COH_PATCH_SLOT | COH_PATCH_GENERATION : COH_PATCH_ACCOUNT | COH_PATCH_STORAGE;
    bool is_whole = (fields & COH_PATCH_ACCOUNT) == COH_PATCH_ACCOUNT;
    if ((fields & ~mask) != 0 || fields == 0 || (!is_whole && (fields & COH_PATCH_STORAGE) != 0)) {
        return COH_EMALFORMED;
    }
    patch->fields = (uint32_t)fields;
    return coh_rlp_end(&in);
}

bool coh_step_patch_next(coh_rlp_t *list, coh_step_patch_t *patch)
{
    return !coh_rlp_at_end(list) && read_patch(list, patch) == COH_OK;
}

void coh_step_put(coh_buf_t *out, coh_step_t const *step)
{
    size_t at = out->n;
    coh_rlp_put_u64(out, step->kind);
    if (coh_step_calls(step) || step->kind == COH_STEP_PATCH) {
        coh_rlp_put_string(out, step->to.b, sizeof(step->to.b));
    }
    if (step->kind == COH_STEP_RESTORE) {
        coh_rlp_put_u64(out, step->snapshot);
    } else if (step->kind == COH_STEP_CALL) {
        coh_rlp_put_string(out, step->data.p, step->data.n);
    } else if (step->kind == COH_STEP_CREDIT || step->kind == COH_STEP_PATCH) {
        coh_rlp_put_list_header(out, step->list.n);
        coh_buf_put(out, step->list.p, step->list.n);
    }
    coh_rlp_wrap_list(out, at);
}

static coh_err_t read_credits(coh_rlp_t *r, coh_step_t *step)
{
    coh_rlp_t list;
    COH_TRY(coh_rlp_list(r, &list));
    step->list = coh_bytes(list.p, (size_t)(list.end - list.p));
    while (!coh_rlp_at_end(&list)) {
        coh_addr_t addr;
        coh_u256_t amount;
        COH_TRY(read_credit(&list, &addr, &amount));
    }
    return COH_OK;
}

static coh_err_t read_patches(coh_rlp_t *r, coh_step_t *step)
{
    coh_rlp_t list;
    COH_TRY(coh_rlp_list(r, &list));
    step->list = coh_bytes(list.p, (size_t)(list.end - list.p));
    while (!coh_rlp_at_end(&list)) {
        coh_step_patch_t patch;
        COH_TRY(read_patch(&list, &patch));
    }
    return COH_OK;
}

coh_err_t coh_step_decode(coh_step_t *out, coh_bytes_t in)
{
    *out            = (coh_step_t){.kind = COH_STEP_CALL};
    coh_rlp_t whole = coh_rlp_reader(in);
    coh_rlp_t r;
    uint64_t kind;
    if (in.n > COH_STEP_PATCH_MAX) {
        return COH_EMALFORMED;
    }
    COH_TRY(coh_rlp_list(&whole, &r));
    COH_TRY(coh_rlp_end(&whole));
    COH_TRY(coh_rlp_u64(&r, &kind));
    if (kind >= COH_STEP_KIND_CNT || (kind != COH_STEP_PATCH && in.n > COH_STEP_MAX)) {
        return COH_EMALFORMED;
    }
    out->kind = (coh_step_kind_t)kind;
    if (coh_step_calls(out) || out->kind == COH_STEP_PATCH) {
        COH_TRY(coh_rlp_fixed(&r, out->to.b, sizeof(out->to.b)));
    }
    if (out->kind == COH_STEP_CALL) {
        COH_TRY(coh_rlp_string(&r, &out->data));
    } else if (out->kind == COH_STEP_CREDIT) {
        COH_TRY(read_credits(&r, out));
    } else if (out->kind == COH_STEP_PATCH) {
        COH_TRY(read_patches(&r, out));
    } else if (out->kind == COH_STEP_RESTORE) {
        COH_TRY(coh_rlp_u64(&r, &out->snapshot));
    }
    return coh_rlp_end(&r);
}
