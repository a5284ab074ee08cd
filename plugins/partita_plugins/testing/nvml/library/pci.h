/* PCI addresses in NVML's spellings. */
#ifndef PARTITA_PCI_H
#define PARTITA_PCI_H

#include "session.h"

/* All members, from an object with bus_id ("0000:07:00.0") and perhaps device_id and subsystem_id. */
void fill_pci(const struct json *pci, struct pci_info *info);

#endif
