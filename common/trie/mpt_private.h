/* mpt_private.h: pages in memory, and the batch of nodes to be hashed. */
#ifndef COH_MPT_PRIVATE_H
#define COH_MPT_PRIVATE_H

#include "common/base/arena.h"
#include "common/trie/mpt.h"
#include "common/trie/mpt_pool.h"
#include "common/trie/nibbles.h"

/* A pair in a page: head (1), key (32), and what is stored of the value. The head is the value's length; or, of a value that ends like that of an account without storage
   and code, as most do, COH_MPT_SLIM and how much comes before that end, which is not stored. */
#define COH_MPT_PAIR_HEAD 33u
#define COH_MPT_SLIM      129u
#define COH_MPT_TAIL_SZ   66u /* storage root and code hash, each with its octet of length */

_Static_assert(COH_NODE_VALUE_MAX < COH_MPT_SLIM, "heads tell lengths from slim values");

typedef struct coh_mpt_page coh_mpt_page_t;
typedef struct coh_mpt_trie coh_mpt_trie_t;

typedef enum {
    COH_MPT_PAGE_PINNED,  /* clean, and children of it are in memory: on no list */
    COH_MPT_PAGE_IDLE,    /* clean: may be evicted */
    COH_MPT_PAGE_WRITING, /* in a batch that is being written */
    COH_MPT_PAGE_DIRTY
} coh_mpt_page_state_t;

typedef struct {
    coh_mpt_page_t *child[COH_NODE_CHILD_CNT]; /* NULL: absent or not in memory */
    uint32_t bytes[COH_NODE_CHILD_CNT]; /* of the pairs below, UINT32_MAX for more; 0: absent */
} coh_mpt_inner_t;

/* The first line is what the way down and the plan look at; with the references, what hashing does. */
struct coh_mpt_page {
    coh_mpt_inner_t *inner; /* owned; NULL: a page of pairs */
    uint8_t *pairs;         /* owned, with an index before them; NULL for none */
    coh_mpt_trie_t *trie;
    coh_mpt_page_t *parent; /* NULL: the trie's root */
    coh_mpt_page_t *prev;   /* list by state */
    coh_mpt_page_t *next;
    uint32_t bytes; /* of the pairs here or below */
    uint32_t cnt;   /* of pairs here; 0 for inner pages */
    uint16_t stale; /* bit i: refs[i] does not fit the pairs */
    uint8_t state;
    uint8_t depth;
    uint8_t fork;     /* where the topmost branch stands; COH_DEPTH_MAX: there is none */
    uint8_t slot;     /* in parent */
    uint8_t resident; /* children in memory */
    coh_mpt_page_t *hash_next;
    coh_mpt_ref_t
        refs[COH_NODE_CHILD_CNT]; /* children of that branch; of an inner page, of depth */
    uint8_t path[32];             /* depth nibbles; if fork is deeper, fork nibbles */
    coh_mpt_ref_t
        fork_ref; /* reference of that branch, if fork is below depth (else the parent has it) */
    coh_mpt_page_t const *base; /* in a view: the same page there, if it is in memory */
};

_Static_assert(offsetof(struct coh_mpt_page, hash_next) == COH_CACHE_LINE, "what is used together");

typedef struct {
    coh_mpt_page_t *first;
    coh_mpt_page_t *last;
} coh_mpt_list_t;

struct coh_mpt_trie {
    coh_mpt_trie_t *chain; /* in the table */
    coh_mpt_page_t *root;  /* NULL only while being loaded */
    coh_mpt_id_t id;
    bool is_dirty; /* in the fifo */
    coh_mpt_list_t dirty;
    uint64_t dirty_since;      /* block */
    coh_mpt_ref_t ref;         /* of the node at the root */
    coh_mpt_trie_t *fifo_prev; /* among tries with something to flush */
    coh_mpt_trie_t *fifo_next;
    coh_buf_t gone; /* keys of pages to delete: length (1), key */
};

/* Nodes to hash, by the depth at which they begin. dest receives the reference; a node below must be added before the batch runs, in any order. */
typedef struct {
    coh_mpt_ref_t *dest;
    coh_mpt_ref_t const *src; /* BRANCH: the sixteen children; EXTENSION, COPY: one */
    uint8_t const *key;       /* LEAF: a pair; EXTENSION: a key */
    uint32_t next;
    uint8_t kind;
    uint8_t from;
    uint8_t to;
} coh_mpt_hash_node_t;

typedef struct {
    coh_mpt_hash_node_t *nodes; /* owned */
    uint32_t cnt;
    uint32_t cap;
    uint32_t heads[COH_DEPTH_MAX + 1];
    coh_arena_t arena; /* references inside of pages */
    uint8_t *rlp;      /* owned; a chunk of nodes */
    uint64_t total;
} coh_mpt_hasher_t;

void coh_mpt_hasher_init(coh_mpt_hasher_t *h);
void coh_mpt_hasher_fini(coh_mpt_hasher_t *h);
/* coh_mpt_hash_page adds the stale nodes of a page whose pairs or children have changed, and brings its fork up to date. Pages below come first. An inner page with
   a single child must have that child in memory. */
void coh_mpt_hash_page(coh_mpt_hasher_t *h, coh_mpt_page_t *page, coh_mpt_ref_t *dest);
/* coh_mpt_hash_inner adds the top node of an inner page as it was stored. */
void coh_mpt_hash_inner(coh_mpt_hasher_t *h, coh_mpt_page_t const *page, coh_mpt_ref_t *dest);
/* coh_mpt_hash_run computes all references that were added. */
void coh_mpt_hash_run(coh_mpt_hasher_t *h);

static inline uint8_t const *coh_mpt_pair_key(uint8_t const *pair) { return pair + 1; }

/* Octets that are stored of the value of a pair with this head. */
static inline size_t coh_mpt_stored_sz(uint32_t head)
{
    return head < COH_MPT_SLIM ? head : head - COH_MPT_SLIM;
}

static inline size_t coh_mpt_pair_sz(uint8_t const *pair)
{
    return COH_MPT_PAIR_HEAD + coh_mpt_stored_sz(pair[0]);
}

/* Whether a pair may have this head. */
static inline bool coh_mpt_is_head(uint32_t head)
{
    return head != 0 &&
           (head < COH_MPT_SLIM ? head <= COH_NODE_VALUE_MAX
                                : head - COH_MPT_SLIM <= COH_NODE_VALUE_MAX - COH_MPT_TAIL_SZ);
}

/* The head of a pair with this value. */
uint8_t coh_mpt_head(coh_bytes_t value);
/* The value of a pair, in room if it is not in the pair. */
coh_bytes_t coh_mpt_pair_value(uint8_t const *pair, uint8_t room[COH_NODE_VALUE_MAX]);

/* Before the pairs of a page stands for each of them, ascending, the tag of its key above 16 bits that tell where it is: the few that matter are found without a look at the others.
   A tag: the four nibbles after the page's path. */
static inline uint32_t coh_mpt_tag(uint8_t const *key, size_t depth)
{
    uint32_t v = 0;
    for (size_t i = 0; i < 3; i++) {
        v = v << 8 | (depth / 2 + i < sizeof(coh_hash_t) ? key[depth / 2 + i] : 0);
    }
    return (depth % 2 == 0 ? v >> 8 : v >> 4) & 0xffff;
}

static inline uint32_t const *coh_mpt_index(coh_mpt_page_t const *page)
{
    return (uint32_t const *)(void const *)page->pairs - page->cnt;
}

static inline uint8_t const *coh_mpt_pair_at(coh_mpt_page_t const *page, size_t i)
{
    return page->pairs + (coh_mpt_index(page)[i] & 0xffff);
}

/* A page to be read. */
typedef struct {
    coh_mpt_trie_t *trie;
    coh_mpt_page_t *parent; /* NULL: the trie's root */
    uint8_t const *key;     /* any that begins with the page's path */
    coh_mpt_page_t *page;   /* out */
    coh_mpt_ref_t ref;      /* out */
    uint8_t slot;
    uint8_t depth;
} coh_mpt_load_t;

struct coh_mpt {
    coh_mpt_config_t config;
    coh_mpt_pool_t pool; /* of pages, their pairs and children */
    coh_mpt_t *base;     /* of a view */
    coh_mpt_trie_t **table;
    size_t table_cap; /* a power of two */
    size_t trie_cnt;
    coh_mpt_trie_t *fifo_first;
    coh_mpt_trie_t *fifo_last;
    coh_mpt_list_t idle; /* most recent use first */
    coh_mpt_list_t writing;
    bool is_flushing;
    uint64_t block; /* of the running update */
    size_t page_cnt;
    size_t page_bytes;
    size_t dirty_bytes;
    uint64_t load_cnt;
    coh_mpt_fault_t fault;
    coh_mpt_hasher_t hasher;
    coh_mpt_page_t *to_hash[COH_DEPTH_MAX + 1]; /* by depth */
    struct coh_mpt_task *tasks;
    uint32_t task_cnt;
    uint32_t task_cap;
    uint32_t
        *spots; /* owned; of changes in pages of pairs: first about which pair, then where it is */
    size_t spot_cnt;
    size_t spot_cap;
    coh_mpt_load_t *loads;
    size_t load_n;
    size_t load_cap;
    coh_buf_t scratch;
};

/* Sizes of subtrees, with UINT32_MAX for more. */
static inline uint32_t coh_mpt_add_sat(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

/* ---- mpt_page.c ---- */

/* The key of a page: prefix, path in octets, depth. */
size_t coh_mpt_page_key(uint8_t out[COH_MPT_KEY_MAX],
                        coh_mpt_id_t const *id,
                        uint8_t const *path,
                        size_t depth);
void coh_mpt_list_push(coh_mpt_list_t *list, coh_mpt_page_t *page);
/* Tries in memory: find (NULL: not there), make without a root, release without pages. coh_mpt_trie_slot is where find looks: valid until one is made. */
size_t coh_mpt_trie_slot(coh_mpt_t const *mpt, coh_mpt_id_t const *id);
coh_mpt_trie_t *coh_mpt_find_trie(coh_mpt_t const *mpt, coh_mpt_id_t const *id);
coh_mpt_trie_t *coh_mpt_trie_new(coh_mpt_t *mpt, coh_mpt_id_t const *id);
void coh_mpt_trie_free(coh_mpt_t *mpt, coh_mpt_trie_t *trie);
/* Takes a trie out of those with something to flush. */
void coh_mpt_fifo_remove(coh_mpt_t *mpt, coh_mpt_trie_t *trie);
/* Octets that a page takes in memory. */
size_t coh_mpt_page_mem(coh_mpt_page_t const *page);
/* Takes the page's octets out of the sums before its size changes, and puts them in afterwards. */
void coh_mpt_account_out(coh_mpt_t *mpt, coh_mpt_page_t const *page);
void coh_mpt_account_in(coh_mpt_t *mpt, coh_mpt_page_t const *page);
/* Room for pairs and their index, and back with it; NULL for none. */
uint8_t *coh_mpt_pairs_take(coh_mpt_pool_t *pool, uint32_t cnt, uint32_t bytes);
void coh_mpt_pairs_give(coh_mpt_pool_t *pool, uint8_t *pairs, uint32_t cnt, uint32_t bytes);
/* Writes the index of a page's pairs, at most UINT16_MAX octets. */
void coh_mpt_index_pairs(coh_mpt_page_t *page);
/* Makes a page without pairs, on no list, linked nowhere. */
coh_mpt_page_t *coh_mpt_page_new(coh_mpt_t *mpt,
                                 coh_mpt_trie_t *trie,
                                 uint8_t const *key,
                                 size_t depth);
/* Takes the page off its list. */
void coh_mpt_page_unlist(coh_mpt_t *mpt, coh_mpt_page_t *page);
/* Puts a clean page where it belongs. */
void coh_mpt_page_rest(coh_mpt_t *mpt, coh_mpt_page_t *page);
/* Makes a page DIRTY, and its trie one to flush. */
void coh_mpt_page_dirty(coh_mpt_t *mpt, coh_mpt_page_t *page);
/* Makes page the child at slot, or none any more; a page with children in memory is not evicted. */
void coh_mpt_page_link(coh_mpt_t *mpt, coh_mpt_page_t *parent, coh_mpt_page_t *page, uint32_t slot);
void coh_mpt_page_unlink(coh_mpt_page_t *page);
/* Releases a page that is linked nowhere. */
void coh_mpt_page_free(coh_mpt_t *mpt, coh_mpt_page_t *page);
/* Notes that the page is to be deleted from the store. */
void coh_mpt_note_gone(coh_mpt_page_t const *page);
/* Releases the pages below, noting that they are gone from the store if noted. The depth of the recursion is that of the trie. */
void coh_mpt_free_below(coh_mpt_t *mpt, coh_mpt_page_t *page, bool noted);
/* coh_mpt_trim evicts down to the bound. */
void coh_mpt_trim(coh_mpt_t *mpt);

/* ---- mpt_load.c ---- */

/* Writes the page to out, which has room for coh_mpt_stored_max(page). Returns the length. */
size_t coh_mpt_store_page(uint8_t *out, coh_mpt_page_t const *page);
size_t coh_mpt_stored_max(coh_mpt_page_t const *page);
/* Adds a page to be read to mpt->loads: the trie's root (parent NULL), or the child at slot. key is borrowed. */
void coh_mpt_load_add(coh_mpt_t *mpt,
                      coh_mpt_trie_t *trie,
                      coh_mpt_page_t *parent,
                      uint32_t slot,
                      uint8_t const *key);
/* Reads all pages of mpt->loads and links them; a trie whose root is not in the store is empty. On failure, roots that were asked for may stay NULL. */
coh_err_t coh_mpt_load_pages(coh_mpt_t *mpt);
/* Removes tries that have been made but whose root could not be read. */
void coh_mpt_drop_rootless(coh_mpt_t *mpt);

/* How many children an inner page has; with one, *slot is its place. */
static inline uint32_t coh_mpt_child_cnt(coh_mpt_page_t const *page, uint32_t *slot)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
        if (page->inner->bytes[i] != 0) {
            cnt++;
            *slot = i;
        }
    }
    return cnt;
}

/* coh_mpt_root_page finds the root of a trie, coh_mpt_child_page the child at slot, which is not absent; both read it if it is not in memory. */
coh_err_t coh_mpt_root_page(coh_mpt_t *mpt, coh_mpt_id_t const *id, coh_mpt_page_t **out);
coh_err_t coh_mpt_child_page(coh_mpt_t *mpt,
                             coh_mpt_page_t *page,
                             uint32_t slot,
                             coh_mpt_page_t **out);
#endif
