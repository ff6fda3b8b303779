#include "common/trie/mpt.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/trie/history.h"
#include "common/trie/mpt_private.h"

#define NONE UINT32_MAX
/* Pages that are changed and hashed at a time, so that they stay in the processor's cache in between: about 1 MiB. */
#define GROUP_PAGES 256u
/* Pages of a large state are in no cache: their memory is asked for so many tasks before it is needed, in two steps where the second follows from the first. */
#define AHEAD 8u

/* What an update does with one page. Tasks of one level follow those of the level above. */
struct coh_mpt_task {
    coh_mpt_trie_t *trie;
    coh_mpt_job_t const *job;
    coh_mpt_page_t *page; /* NULL: not there yet */
    coh_mpt_change_t const *changes;
    size_t change_cnt;
    uint32_t parent; /* task; NONE: the trie's root */
    uint32_t first;  /* tasks of children...; of pairs: spots of changes */
    uint32_t child_cnt;
    uint8_t slot;
    uint8_t depth;
    bool is_changed; /* this and the next: as planned */
    bool is_pairs;
    bool is_in_place; /* of pairs: only values change, not their lengths; no new ones are made */
    bool is_gone;     /* while committing: there is no such page any more */
    uint16_t stale;   /* of pairs: which children of the old fork change */
    uint8_t *pairs;   /* owned; of pairs: the new ones */
    uint32_t cnt;     /* of pairs */
    uint32_t bytes;   /* of pairs here or below */
};

typedef struct coh_mpt_task task_t;

/* Asks for the first n octets at p, or for nothing at NULL. */
static void fetch(void const *p, size_t n)
{
    for (size_t at = 0; p != NULL && at < n; at += COH_CACHE_LINE) {
        __builtin_prefetch((char const *)p + at);
    }
}

/* ---- Update: the way down ---- */

static task_t *task_add(coh_mpt_t *mpt)
{
    if (mpt->task_cnt == mpt->task_cap) {
        mpt->task_cap = mpt->task_cap == 0 ? 256 : mpt->task_cap * 2;
        mpt->tasks    = coh_realloc(mpt->tasks, mpt->task_cap * sizeof(*mpt->tasks));
    }
    COH_ASSERT(mpt->task_cnt < NONE - 1);
    task_t *task = &mpt->tasks[mpt->task_cnt++];
    *task        = (task_t){.parent = NONE};
    return task;
}

/* Adds a task for each child that changes. */
static void split_task(coh_mpt_t *mpt, uint32_t idx)
{
    task_t parent = mpt->tasks[idx];
    size_t depth  = parent.page->depth;
    parent.first  = mpt->task_cnt;
    for (size_t lo = 0; lo < parent.change_cnt;) {
        uint32_t slot = coh_nibble(parent.changes[lo].key.b, depth);
        size_t end    = lo + 1;
        while (end < parent.change_cnt && coh_nibble(parent.changes[end].key.b, depth) == slot) {
            end++;
        }
        task_t *task = task_add(mpt);
        task->trie   = parent.trie;
        task->job    = parent.job;
        task->page   = parent.page->inner->child[slot];
        __builtin_prefetch(task->page);
        task->changes    = parent.changes + lo;
        task->change_cnt = end - lo;
        task->parent     = idx;
        task->slot       = (uint8_t)slot;
        task->depth      = (uint8_t)(depth + 1);
        parent.child_cnt++;
        lo = end;
    }
    mpt->tasks[idx] = parent;
}

static void check_job(coh_mpt_job_t const *job)
{
    for (size_t i = 0; i < job->cnt; i++) {
        COH_ASSERT(job->changes[i].value.n <= COH_NODE_VALUE_MAX);
        COH_ASSERT(i == 0 ||
                   memcmp(job->changes[i - 1].key.b, job->changes[i].key.b, sizeof(coh_hash_t)) <
                       0);
    }
    COH_ASSERT(job->cnt == 0 || coh_nibbles_fork(job->changes[0].key.b,
                                                 job->changes[job->cnt - 1].key.b,
                                                 0,
                                                 job->id.depth) == job->id.depth);
}

/* Adds a task for a trie. */
static void add_job(coh_mpt_t *mpt, coh_mpt_job_t const *job)
{
    check_job(job);
    coh_mpt_trie_t *trie = coh_mpt_find_trie(mpt, &job->id);
    if (trie == NULL) {
        trie = coh_mpt_trie_new(mpt, &job->id);
        coh_mpt_load_add(mpt, trie, NULL, 0, job->changes[0].key.b);
    }
    task_t *task     = task_add(mpt);
    task->trie       = trie;
    task->job        = job;
    task->changes    = job->changes;
    task->change_cnt = job->cnt;
    task->depth      = job->id.depth;
}

static void add_jobs(coh_mpt_t *mpt, coh_mpt_job_t const *jobs, size_t cnt)
{
    size_t slots[AHEAD];
    for (size_t i = 0; i < cnt + 2 * AHEAD; i++) {
        if (i >= AHEAD && i - AHEAD < cnt) {
            fetch(mpt->table[slots[i % AHEAD]], 2 * (size_t)COH_CACHE_LINE);
        }
        if (i < cnt) {
            slots[i % AHEAD] = coh_mpt_trie_slot(mpt, &jobs[i].id);
            __builtin_prefetch(&mpt->table[slots[i % AHEAD]]);
        }
        if (i >= 2 * AHEAD) {
            add_job(mpt, &jobs[i - 2 * AHEAD]);
        }
    }
}

/* Adds tasks for what is below the tasks first..end-1. */
static void split_tasks(coh_mpt_t *mpt, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end + AHEAD; i++) {
        if (i < end && mpt->tasks[i].page != NULL && mpt->tasks[i].page->inner != NULL) {
            fetch(mpt->tasks[i].page->inner, sizeof(coh_mpt_inner_t));
        }
        if (i - first >= AHEAD) {
            coh_mpt_page_t const *page = mpt->tasks[i - AHEAD].page;
            if (page != NULL && page->inner != NULL) {
                split_task(mpt, i - AHEAD);
            }
        }
    }
}

/* Finds or reads all pages on the paths of the changes. */
static coh_err_t descend(coh_mpt_t *mpt, coh_mpt_job_t *jobs, size_t cnt)
{
    mpt->load_n   = 0;
    mpt->task_cnt = 0;
    add_jobs(mpt, jobs, cnt);
    if (mpt->load_n != 0) {
        coh_err_t rc = coh_mpt_load_pages(mpt);
        if (rc != COH_OK) {
            coh_mpt_drop_rootless(mpt);
            return rc;
        }
    }
    for (uint32_t i = 0; i < mpt->task_cnt; i++) {
        mpt->tasks[i].page = mpt->tasks[i].trie->root;
        __builtin_prefetch(mpt->tasks[i].page);
    }
    for (uint32_t at = 0, end = mpt->task_cnt; at != end; at = end, end = mpt->task_cnt) {
        split_tasks(mpt, at, end);
        mpt->load_n = 0;
        for (uint32_t i = end; i < mpt->task_cnt; i++) {
            task_t const *task     = &mpt->tasks[i];
            coh_mpt_page_t *parent = mpt->tasks[task->parent].page;
            if (task->page == NULL && parent->inner->bytes[task->slot] != 0) {
                coh_mpt_load_add(mpt, task->trie, parent, task->slot, task->changes[0].key.b);
            }
        }
        if (mpt->load_n != 0) {
            COH_TRY(coh_mpt_load_pages(mpt));
            for (uint32_t i = end; i < mpt->task_cnt; i++) {
                task_t *task = &mpt->tasks[i];
                task->page   = mpt->tasks[task->parent].page->inner->child[task->slot];
            }
        }
    }
    return COH_OK;
}

/* ---- Update: the plan, from the bottom up; nothing changes yet ---- */

/* The undo record that is being written; out NULL: none. */
typedef struct {
    coh_buf_t *out;
    coh_mpt_trie_t const *trie; /* of the group at the end */
    size_t length_at;           /* of that group */
} undo_t;

static void put_undo(undo_t *undo,
                     coh_mpt_trie_t const *trie,
                     uint8_t const *key,
                     coh_bytes_t value)
{
    coh_buf_t *out = undo->out;
    if (out == NULL) {
        return;
    }
    if (undo->trie != trie) {
        undo->trie      = trie;
        undo->length_at = coh_history_put_group(out, &trie->id);
    }
    coh_buf_put_u8(out, (uint8_t)value.n);
    coh_buf_put(out, key, sizeof(coh_hash_t));
    coh_buf_put(out, value.p, value.n);
    coh_store_u32_le(out->p + undo->length_at, (uint32_t)(out->n - undo->length_at - 4));
}

static int key_compare(uint8_t const *a, uint8_t const *b)
{
    uint64_t x = coh_load_u64_be(a);
    uint64_t y = coh_load_u64_be(b);
    return x != y ? (x > y) - (x < y) : memcmp(a + 8, b + 8, sizeof(coh_hash_t) - 8);
}

/* Moves *at to the first of the pairs up to end whose key is not below key; true if it is key. */
static bool seek_pair(uint8_t const **at, uint8_t const *end, uint8_t const *key)
{
    while (*at != end) {
        int order = key_compare(coh_mpt_pair_key(*at), key);
        if (order >= 0) {
            return order == 0;
        }
        *at += coh_mpt_pair_sz(*at);
    }
    return false;
}

/* The pairs of the task's page; *end is where they end. */
static uint8_t const *old_pairs(task_t const *task, uint8_t const **end)
{
    coh_mpt_page_t const *page = task->page;
    uint8_t const *pairs       = page != NULL ? page->pairs : NULL;
    *end                       = pairs != NULL ? pairs + page->bytes : NULL;
    return pairs;
}

/* The first pair of a page from i on whose key has this tag or a higher one. */
static uint32_t seek_tag(coh_mpt_page_t const *page, uint32_t i, uint32_t tag)
{
    while (i < page->cnt && coh_mpt_index(page)[i] >> 16 < tag) {
        i++;
    }
    return i;
}

/* The pair with this key; i: the first one with its tag. NULL: there is none. */
static uint8_t const *match_pair(coh_mpt_page_t const *page, uint32_t i, uint8_t const *key)
{
    uint32_t tag = coh_mpt_tag(key, page->depth);
    for (; i < page->cnt && coh_mpt_index(page)[i] >> 16 == tag; i++) {
        uint8_t const *pair = coh_mpt_pair_at(page, i);
        if (memcmp(coh_mpt_pair_key(pair), key, sizeof(coh_hash_t)) == 0) {
            return pair;
        }
    }
    return NULL;
}

/* Finds out about where the changes of a page of pairs belong, and asks for the pairs there. */
static void locate_pairs(coh_mpt_t *mpt, task_t *task)
{
    coh_mpt_page_t const *page = task->page;
    uint32_t at                = 0;
    task->first                = (uint32_t)mpt->spot_cnt;
    for (size_t i = 0; i < task->change_cnt && page != NULL; i++) {
        at = seek_tag(page, at, coh_mpt_tag(task->changes[i].key.b, page->depth));
        if (at < page->cnt) {
            fetch(coh_mpt_pair_at(page, at), 2 * (size_t)COH_CACHE_LINE);
        }
        mpt->spots[mpt->spot_cnt++] = at;
    }
}

/* Looks the changes up in the pairs of a page: what the page will be, without making it. */
static void scan_pairs(coh_mpt_t *mpt, task_t *task, undo_t *undo)
{
    coh_mpt_page_t const *page = task->page;
    size_t fork                = page != NULL ? page->fork : COH_DEPTH_MAX;
    task->bytes                = page != NULL ? page->bytes : 0;
    task->cnt                  = page != NULL ? page->cnt : 0;
    task->is_in_place          = true;
    for (size_t i = 0; i < task->change_cnt; i++) {
        coh_mpt_change_t const *change = &task->changes[i];
        uint32_t *spot                 = &mpt->spots[task->first + i];
        coh_bytes_t value              = coh_bytes(NULL, 0);
        uint8_t const *old = page != NULL ? match_pair(page, *spot, change->key.b) : NULL;
        uint8_t room[COH_NODE_VALUE_MAX];
        uint32_t old_head = 0;
        if (old != NULL) {
            value    = coh_mpt_pair_value(old, room);
            old_head = old[0];
            *spot    = (uint32_t)(old - page->pairs);
            task->bytes -= (uint32_t)coh_mpt_pair_sz(old);
            task->cnt--;
        }
        if (task->job->resolve != NULL) {
            task->job->resolve(task->job->arg, (size_t)(change - task->job->changes), value);
            COH_ASSERT(change->value.n <= COH_NODE_VALUE_MAX);
        }
        uint32_t head = coh_mpt_head(change->value);
        if (head != 0) {
            task->bytes += COH_MPT_PAIR_HEAD + (uint32_t)coh_mpt_stored_sz(head);
            task->cnt++;
        }
        if (!coh_bytes_eq(value, change->value)) {
            task->is_changed = task->is_pairs = true;
            task->is_in_place &= old_head == head;
            if (fork < COH_DEPTH_MAX) {
                task->stale |= (uint16_t)(1u << coh_nibble(change->key.b, fork));
            }
            put_undo(undo, task->trie, change->key.b, value);
        }
    }
}

/* Writes the pairs of a page with the changes merged in: task->bytes octets. */
static void merge_pairs(uint8_t *out, task_t const *task)
{
    uint8_t const *start = out;
    uint8_t const *end;
    uint8_t const *old = old_pairs(task, &end);
    for (size_t i = 0; i < task->change_cnt; i++) {
        coh_mpt_change_t const *change = &task->changes[i];
        uint8_t const *run             = old;
        bool is_there                  = seek_pair(&old, end, change->key.b);
        if (old != run) {
            memcpy(out, run, (size_t)(old - run));
            out += old - run;
        }
        if (is_there) {
            old += coh_mpt_pair_sz(old);
        }
        if (change->value.n != 0) {
            out[0] = coh_mpt_head(change->value);
            memcpy(out + 1, change->key.b, sizeof(change->key.b));
            memcpy(out + COH_MPT_PAIR_HEAD, change->value.p, coh_mpt_stored_sz(out[0]));
            out += coh_mpt_pair_sz(out);
        }
    }
    if (old != end) {
        memcpy(out, old, (size_t)(end - old));
        out += end - old;
    }
    COH_ASSERT(out == start + task->bytes);
}

/* Sets the new values where the old ones stand. */
static void overwrite_pairs(coh_mpt_t const *mpt, task_t const *task)
{
    for (size_t i = 0; i < task->change_cnt; i++) {
        coh_bytes_t value = task->changes[i].value;
        if (value.n != 0) {
            uint8_t *pair = task->page->pairs + mpt->spots[task->first + i];
            memcpy(pair + COH_MPT_PAIR_HEAD, value.p, coh_mpt_stored_sz(pair[0]));
        }
    }
}

static void plan_pairs(coh_mpt_t *mpt, task_t *task, undo_t *undo)
{
    scan_pairs(mpt, task, undo);
    if (task->is_changed && !task->is_in_place && task->bytes != 0) {
        task->pairs = coh_mpt_pairs_take(&mpt->pool, task->cnt, task->bytes);
        merge_pairs(task->pairs, task);
    }
}

/* Appends all pairs of a page and those below, which are not many. */
static coh_err_t gather(coh_mpt_t *mpt, coh_mpt_page_t *page, coh_buf_t *out, uint32_t *cnt)
{
    if (page->inner == NULL) {
        coh_buf_put(out, page->pairs, page->bytes);
        *cnt += page->cnt;
        return COH_OK;
    }
    for (uint32_t slot = 0; slot < COH_NODE_CHILD_CNT; slot++) {
        if (page->inner->bytes[slot] != 0) {
            coh_mpt_page_t *child;
            COH_TRY(coh_mpt_child_page(mpt, page, slot, &child));
            COH_TRY(gather(mpt, child, out, cnt));
        }
    }
    return COH_OK;
}

/* Appends the pairs that a child is planned to have. */
static void merge_child(coh_buf_t *out, task_t const *child)
{
    if (child->is_in_place && child->bytes != 0) {
        merge_pairs(coh_buf_extend(out, child->bytes), child);
    } else {
        coh_buf_put(out, child->pairs, child->bytes);
    }
}

/* Makes pairs of an inner page below which few have remained; child: tasks, or NULL. Afterwards all pages below are in memory. */
static coh_err_t plan_merge(coh_mpt_t *mpt, task_t *task, task_t *const child[COH_NODE_CHILD_CNT])
{
    coh_buf_t out = COH_BUF_INIT;
    uint32_t cnt  = 0;
    coh_err_t rc  = COH_OK;
    for (uint32_t slot = 0; slot < COH_NODE_CHILD_CNT && rc == COH_OK; slot++) {
        if (child[slot] != NULL && child[slot]->is_changed) {
            COH_ASSERT(child[slot]->is_pairs);
            merge_child(&out, child[slot]);
            cnt += child[slot]->cnt;
        } else if (task->page->inner->bytes[slot] != 0) {
            coh_mpt_page_t *page;
            rc = coh_mpt_child_page(mpt, task->page, slot, &page);
            rc = rc == COH_OK ? gather(mpt, page, &out, &cnt) : rc;
        }
    }
    if (rc == COH_OK) {
        task->is_pairs = true;
        task->stale    = UINT16_MAX;
        task->cnt      = cnt;
        COH_ASSERT(task->bytes == out.n);
        if (out.n != 0) {
            task->pairs = coh_mpt_pairs_take(&mpt->pool, cnt, task->bytes);
            memcpy(task->pairs, out.p, out.n);
        }
    }
    coh_buf_free(&out);
    return rc;
}

static coh_err_t plan_inner(coh_mpt_t *mpt, task_t *task)
{
    task_t *child[COH_NODE_CHILD_CNT] = {NULL};
    uint32_t live                     = 0;
    uint32_t slot                     = 0;
    bool is_changed                   = false;
    for (uint32_t i = 0; i < task->child_cnt; i++) {
        task_t *t      = &mpt->tasks[task->first + i];
        child[t->slot] = t;
        is_changed |= t->is_changed;
    }
    task->bytes = 0;
    for (uint32_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
        uint32_t bytes = child[i] != NULL ? child[i]->bytes : task->page->inner->bytes[i];
        task->bytes    = coh_mpt_add_sat(task->bytes, bytes);
        if (bytes != 0) {
            live++;
            slot = i;
        }
    }
    if (!is_changed) {
        return COH_OK;
    }
    task->is_changed = true;
    if (task->bytes <= mpt->config.page_bytes / 2) {
        return plan_merge(mpt, task, child);
    }
    if (live == 1 && (child[slot] == NULL || !child[slot]->is_changed)) {
        coh_mpt_page_t *page; /* its path is needed */
        return coh_mpt_child_page(mpt, task->page, slot, &page);
    }
    return COH_OK;
}

/* Whether the page of the task, if there ever was one, has gone with the page above it. */
static bool is_swallowed(coh_mpt_t const *mpt, task_t const *task)
{
    task_t const *parent = task->parent == NONE ? NULL : &mpt->tasks[task->parent];
    return parent != NULL && (parent->is_gone || (parent->is_changed && parent->is_pairs));
}

static bool is_of_pairs(task_t const *task)
{
    return task->page == NULL || task->page->inner == NULL;
}

static void plan_all_pairs(coh_mpt_t *mpt, undo_t *undo)
{
    uint32_t cnt = mpt->task_cnt;
    for (uint32_t i = 0; i < cnt + 3 * AHEAD; i++) {
        if (i < cnt) {
            __builtin_prefetch(mpt->tasks[i].page);
        }
        if (i >= AHEAD && i - AHEAD < cnt) {
            coh_mpt_page_t const *page = mpt->tasks[i - AHEAD].page;
            if (page != NULL && page->pairs != NULL) {
                fetch(coh_mpt_index(page), page->cnt * sizeof(uint32_t));
            }
        }
        if (i >= 2 * AHEAD && i - 2 * AHEAD < cnt && is_of_pairs(&mpt->tasks[i - 2 * AHEAD])) {
            locate_pairs(mpt, &mpt->tasks[i - 2 * AHEAD]);
        }
        if (i >= 3 * AHEAD && is_of_pairs(&mpt->tasks[i - 3 * AHEAD])) {
            plan_pairs(mpt, &mpt->tasks[i - 3 * AHEAD], undo);
        }
    }
}

static coh_err_t plan(coh_mpt_t *mpt, coh_buf_t *out)
{
    undo_t undo = {.out = out};
    plan_all_pairs(mpt, &undo);
    for (uint32_t i = mpt->task_cnt; i-- > 0;) {
        task_t *task = &mpt->tasks[i];
        if (task->page != NULL && task->page->inner != NULL) {
            COH_TRY(plan_inner(mpt, task));
        }
    }
    return COH_OK;
}

/* ---- Update: the change itself, which cannot fail ---- */

static void hash_later(coh_mpt_t *mpt, coh_mpt_page_t *page)
{
    page->hash_next           = mpt->to_hash[page->depth];
    mpt->to_hash[page->depth] = page;
}

/* Replaces the contents of a page by pairs, which are taken. */
static void set_pairs(coh_mpt_t *mpt,
                      coh_mpt_page_t *page,
                      uint8_t *pairs,
                      uint32_t cnt,
                      uint32_t bytes)
{
    coh_mpt_account_out(mpt, page);
    coh_mpt_pairs_give(&mpt->pool, page->pairs, page->cnt, page->bytes);
    coh_mpt_pool_give(&mpt->pool, page->inner, sizeof(*page->inner));
    page->base  = NULL;
    page->inner = NULL;
    page->pairs = pairs;
    page->cnt   = cnt;
    page->bytes = bytes;
    coh_mpt_account_in(mpt, page);
}

/* Cuts a page of pairs in sixteen, and those of them that are still too large. The depth of the recursion is that of the trie. */
static void cut(coh_mpt_t *mpt, coh_mpt_page_t *page)
{
    if (page->bytes <= mpt->config.page_bytes || page->cnt == 1) {
        coh_mpt_index_pairs(page);
        hash_later(mpt, page);
        return;
    }
    uint32_t pair_cnt  = page->cnt;
    uint8_t *pairs     = page->pairs;
    uint8_t const *at  = pairs;
    uint8_t const *end = pairs + page->bytes;
    coh_mpt_account_out(mpt, page);
    page->base   = NULL;
    page->pairs  = NULL;
    page->cnt    = 0;
    page->inner  = coh_mpt_pool_take(&mpt->pool, sizeof(*page->inner));
    *page->inner = (coh_mpt_inner_t){0};
    coh_mpt_account_in(mpt, page);
    memset(page->refs, 0, sizeof(page->refs));
    while (at != end) {
        uint32_t slot      = coh_nibble(coh_mpt_pair_key(at), page->depth);
        uint8_t const *run = at;
        uint32_t cnt       = 0;
        while (at != end && coh_nibble(coh_mpt_pair_key(at), page->depth) == slot) {
            at += coh_mpt_pair_sz(at);
            cnt++;
        }
        uint32_t bytes = (uint32_t)(at - run);
        coh_mpt_page_t *child =
            coh_mpt_page_new(mpt, page->trie, coh_mpt_pair_key(run), (size_t)page->depth + 1);
        uint8_t *own = coh_mpt_pairs_take(&mpt->pool, cnt, bytes);
        memcpy(own, run, bytes);
        set_pairs(mpt, child, own, cnt, bytes);
        coh_mpt_page_link(mpt, page, child, slot);
        page->inner->bytes[slot] = bytes;
        coh_mpt_page_dirty(mpt, child);
        cut(mpt, child);
    }
    coh_mpt_pairs_give(&mpt->pool, pairs, pair_cnt, page->bytes);
    hash_later(mpt, page);
}

static void commit_task(coh_mpt_t *mpt, task_t *task)
{
    task_t const *parent = task->parent == NONE ? NULL : &mpt->tasks[task->parent];
    if (is_swallowed(mpt, task)) {
        task->is_gone = true;
        coh_mpt_pairs_give(&mpt->pool, task->pairs, task->cnt, task->bytes);
        task->pairs = NULL;
        return;
    }
    coh_mpt_page_t *page = task->page;
    if (!task->is_changed) {
        if (page != NULL && page->state == COH_MPT_PAGE_IDLE) {
            coh_mpt_page_rest(mpt, page); /* used now */
        }
        return;
    }
    if (parent != NULL) {
        parent->page->inner->bytes[task->slot] = task->bytes;
    }
    if (page == NULL) {
        page = task->page =
            coh_mpt_page_new(mpt, task->trie, coh_mpt_pair_key(task->pairs), task->depth);
        coh_mpt_page_link(mpt, parent->page, page, task->slot);
    }
    if (!task->is_pairs) {
        page->bytes = task->bytes;
        coh_mpt_page_dirty(mpt, page);
        hash_later(mpt, page);
        return;
    }
    coh_mpt_free_below(mpt, page, true);
    coh_mpt_page_dirty(mpt, page);
    if (task->cnt == 0 && parent != NULL) {
        parent->page->refs[task->slot].n = 0;
        coh_mpt_page_unlink(page);
        coh_mpt_note_gone(page);
        coh_mpt_page_free(mpt, page);
        task->is_gone = true;
        return;
    }
    page->stale |= task->stale;
    if (task->is_in_place) {
        overwrite_pairs(mpt, task);
        hash_later(mpt, page);
        return;
    }
    set_pairs(mpt, page, task->pairs, task->cnt, task->bytes);
    task->pairs = NULL;
    cut(mpt, page);
}

static void hash_all(coh_mpt_t *mpt)
{
    for (size_t depth = COH_DEPTH_MAX + 1; depth-- > 0;) {
        for (coh_mpt_page_t *page = mpt->to_hash[depth]; page != NULL; page = page->hash_next) {
            coh_mpt_hash_page(&mpt->hasher,
                              page,
                              page->parent != NULL ? &page->parent->refs[page->slot]
                                                   : &page->trie->ref);
        }
        mpt->to_hash[depth] = NULL;
    }
    coh_mpt_hash_run(&mpt->hasher);
}

/* Asks for what carrying out a task and hashing its page look at, once its page's first line is there. */
static void fetch_for_commit(coh_mpt_t const *mpt, task_t const *task)
{
    enum { NEIGHBOURS = 2 * COH_CACHE_LINE, SPOTS = 8 };
    coh_mpt_page_t const *page = task->page;
    if (page == NULL || !task->is_changed || is_swallowed(mpt, task)) {
        return;
    }
    if (page->state != COH_MPT_PAGE_DIRTY) {
        __builtin_prefetch(page->prev);
        __builtin_prefetch(page->next);
        __builtin_prefetch(task->trie->dirty.first);
    }
    if (task->is_in_place && page->pairs != NULL) {
        fetch(coh_mpt_index(page), page->cnt * sizeof(uint32_t));
        for (size_t i = 0; i < task->change_cnt && i < SPOTS; i++) {
            uint32_t spot = mpt->spots[task->first + i];
            uint32_t from = spot - COH_MIN(spot, (uint32_t)NEIGHBOURS);
            fetch(page->pairs + from, spot - from + NEIGHBOURS + COH_MPT_PAIR_HEAD);
        }
    }
}

/* Carries out what is planned for the tries first..end-1. Those below a group of tasks are a group, too. */
static void commit_group(coh_mpt_t *mpt, uint32_t first, uint32_t end)
{
    while (first != end) {
        uint32_t next_first = 0;
        uint32_t next_end   = 0;
        for (uint32_t i = first; i < end + 2 * AHEAD; i++) {
            if (i < end && mpt->tasks[i].is_changed) {
                fetch(mpt->tasks[i].page, offsetof(coh_mpt_page_t, path));
            }
            if (i - first >= AHEAD && i - AHEAD < end) {
                fetch_for_commit(mpt, &mpt->tasks[i - AHEAD]);
            }
            if (i - first < 2 * AHEAD) {
                continue;
            }
            task_t *task = &mpt->tasks[i - 2 * AHEAD];
            commit_task(mpt, task);
            if (task->child_cnt != 0) {
                next_first = next_end == 0 ? task->first : next_first;
                next_end   = task->first + task->child_cnt;
            }
        }
        first = next_first;
        end   = next_end;
    }
    hash_all(mpt);
}

/* What stands at the root of a trie. */
static void root_node(coh_mpt_node_t *out, coh_mpt_page_t const *root)
{
    *out = (coh_mpt_node_t){.kind = COH_NODE_EMPTY};
    if (root->inner == NULL && root->cnt == 0) {
        return;
    }
    if (root->fork == COH_DEPTH_MAX) {
        uint8_t room[COH_NODE_VALUE_MAX];
        coh_bytes_t value = coh_mpt_pair_value(root->pairs, room);
        out->kind         = COH_NODE_LEAF;
        out->n =
            (uint8_t)coh_node_put_leaf(out->b, coh_mpt_pair_key(root->pairs), root->depth, value);
    } else if (root->fork > root->depth) {
        out->kind = COH_NODE_EXTENSION;
        out->n    = (uint8_t)coh_node_put_extension(
            out->b, root->path, root->depth, root->fork, &root->fork_ref);
    } else {
        out->kind = COH_NODE_BRANCH;
        out->n    = root->trie->ref.n;
        memcpy(out->b, root->trie->ref.b, out->n);
    }
}

static void grow_spots(coh_mpt_t *mpt, coh_mpt_job_t const *jobs, size_t cnt)
{
    size_t changes = 0;
    for (size_t i = 0; i < cnt; i++) {
        changes += jobs[i].cnt;
    }
    COH_ASSERT(changes < NONE);
    if (mpt->spot_cap < changes) {
        mpt->spot_cap = COH_MAX(changes, 2 * mpt->spot_cap);
        mpt->spots    = coh_realloc(mpt->spots, mpt->spot_cap * sizeof(*mpt->spots));
    }
    mpt->spot_cnt = 0;
}

coh_err_t coh_mpt_update(coh_mpt_t *mpt,
                         uint64_t block,
                         coh_mpt_job_t *jobs,
                         size_t cnt,
                         coh_buf_t *undo)
{
    size_t undo_n = undo == NULL ? 0 : undo->n;
    coh_err_t rc  = COH_OK;
    for (size_t i = 0; i < cnt && rc == COH_OK; i++) {
        coh_mpt_page_t *root; /* only told: no changes to find it by */
        rc = jobs[i].cnt != 0 ? COH_OK : coh_mpt_root_page(mpt, &jobs[i].id, &root);
    }
    mpt->task_cnt = 0;
    grow_spots(mpt, jobs, cnt);
    rc = rc == COH_OK ? descend(mpt, jobs, cnt) : rc;
    rc = rc == COH_OK ? plan(mpt, undo) : rc;
    if (rc != COH_OK) {
        for (uint32_t i = 0; i < mpt->task_cnt; i++) {
            task_t *task = &mpt->tasks[i];
            coh_mpt_pairs_give(&mpt->pool, task->pairs, task->cnt, task->bytes);
        }
        if (undo != NULL) {
            undo->n = undo_n;
        }
        coh_mpt_trim(mpt);
        return rc;
    }
    mpt->block = block;
    for (uint32_t first = 0, end = 0; first < cnt; first = end) {
        for (uint32_t pages = 0; end < cnt && pages < GROUP_PAGES; end++) {
            pages += 1 + mpt->tasks[end].child_cnt;
        }
        commit_group(mpt, first, end);
    }
    for (size_t i = 0; i < cnt; i++) {
        root_node(&jobs[i].node, mpt->tasks[i].page);
    }
    coh_mpt_trim(mpt);
    return COH_OK;
}

bool coh_mpt_is_full(coh_mpt_t const *mpt)
{
    return mpt->dirty_bytes > mpt->config.dirty_bytes_max;
}

coh_err_t coh_mpt_get(coh_mpt_t *mpt, coh_mpt_id_t const *id, coh_hash_t const *key, coh_buf_t *out)
{
    coh_mpt_page_t *page;
    COH_TRY(coh_mpt_root_page(mpt, id, &page));
    while (page->inner != NULL) {
        uint32_t slot = coh_nibble(key->b, page->depth);
        if (page->inner->bytes[slot] == 0) {
            return COH_ENOTFOUND;
        }
        COH_TRY(coh_mpt_child_page(mpt, page, slot, &page));
    }
    uint32_t first      = seek_tag(page, 0, coh_mpt_tag(key->b, page->depth));
    uint8_t const *pair = match_pair(page, first, key->b);
    if (pair != NULL) {
        uint8_t room[COH_NODE_VALUE_MAX];
        coh_bytes_t value = coh_mpt_pair_value(pair, room);
        coh_buf_put(out, value.p, value.n);
    }
    if (page->state == COH_MPT_PAGE_IDLE) {
        coh_mpt_page_rest(mpt, page);
    }
    coh_mpt_trim(mpt);
    return pair != NULL ? COH_OK : COH_ENOTFOUND;
}

coh_mpt_fault_t const *coh_mpt_fault(coh_mpt_t const *mpt) { return &mpt->fault; }

/* ---- Life ---- */

coh_mpt_t *coh_mpt_new(coh_mpt_config_t const *config)
{
    coh_mpt_t *mpt = coh_calloc(1, sizeof(*mpt));
    mpt->config    = *config;
    if (mpt->config.page_bytes == 0) {
        mpt->config.page_bytes = COH_MPT_PAGE_DEFAULT;
    }
    COH_ASSERT(mpt->config.page_bytes >= COH_MPT_PAGE_MIN && mpt->config.page_bytes <= UINT16_MAX);
    mpt->table_cap = 64;
    mpt->table     = coh_calloc(mpt->table_cap, sizeof(coh_mpt_trie_t *));
    coh_mpt_hasher_init(&mpt->hasher);
    coh_mpt_pool_init(&mpt->pool);
    return mpt;
}

coh_mpt_t *coh_mpt_view_new(coh_mpt_t *base)
{
    coh_mpt_config_t config = base->config;
    config.dirty_bytes_max  = SIZE_MAX;
    coh_mpt_t *mpt          = coh_mpt_new(&config);
    mpt->base               = base;
    return mpt;
}

void coh_mpt_free(coh_mpt_t *mpt)
{
    if (mpt == NULL) {
        return;
    }
    for (size_t i = 0; i < mpt->table_cap; i++) {
        while (mpt->table[i] != NULL) {
            coh_mpt_trie_t *trie = mpt->table[i];
            coh_mpt_free_below(mpt, trie->root, false);
            coh_mpt_page_free(mpt, trie->root);
            coh_mpt_trie_free(mpt, trie);
        }
    }
    COH_ASSERT(mpt->page_cnt == 0 && mpt->page_bytes == 0 && mpt->dirty_bytes == 0);
    coh_mpt_hasher_fini(&mpt->hasher);
    coh_buf_free(&mpt->scratch);
    free(mpt->table);
    free(mpt->tasks);
    free(mpt->spots);
    free(mpt->loads);
    coh_mpt_pool_fini(&mpt->pool);
    free(mpt);
}

void coh_mpt_stats(coh_mpt_t const *mpt, coh_mpt_stats_t *out)
{
    *out = (coh_mpt_stats_t){.page_cnt    = mpt->page_cnt,
                             .page_bytes  = mpt->page_bytes,
                             .dirty_bytes = mpt->dirty_bytes,
                             .load_cnt    = mpt->load_cnt,
                             .hash_cnt    = mpt->hasher.total};
}
