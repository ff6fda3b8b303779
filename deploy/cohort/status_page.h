/* status_page.h: the page at / of rank 0 that shows a person what /status says. It is status_page.html, part of the program: style and script are inside, and the policy
   that goes with it lets the browser run these, by their hashes, and ask this server, and nothing else. */
#ifndef COH_STATUS_PAGE_H
#define COH_STATUS_PAGE_H

#include "common/obs/httpd.h"

typedef struct {
    coh_httpd_file_t file; /* refers to the two below: the struct must not move */
    char policy[512];
    char etag[48];
} coh_status_page_t;

/* coh_status_page_init makes the file for a route of httpd.h. */
void coh_status_page_init(coh_status_page_t *page);

#endif
