/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers and names: IANA "IP Flow Information Export (IPFIX) Entities"; v9 types below 128 are the same numbers.
 * Vendors' private elements are here only where they carry what a one-way delay needs.
 */
#include "elements.h"

#include <stddef.h>

#define MEMBER(m) sizeof (((OwdFlow *) NULL)->m), offsetof (OwdFlow, m)
#define NO_MEMBER 0, 0

/* clang-format off */
static const OwdElement ELEMENTS[] = {
  /* pen, id, use, rank, arg, member, flags, name, our field */
  { 0, 1, OWD_USE_INT, 0, 0, MEMBER (octets), OWD_FLOW_OCTETS, "octetDeltaCount", "octets" },
  { 0, 2, OWD_USE_INT, 0, 0, MEMBER (packets), OWD_FLOW_PACKETS, "packetDeltaCount", "packets" },
  { 0, 4, OWD_USE_INT, 0, 0, MEMBER (proto), 0, "protocolIdentifier", "proto" },
  { 0, 5, OWD_USE_INT, 0, 0, MEMBER (tos), 0, "ipClassOfService", "tos" },
  { 0, 6, OWD_USE_INT, 0, 0, MEMBER (tcp_flags), OWD_FLOW_FLAGS, "tcpControlBits", "tcp_flags" },
  { 0, 7, OWD_USE_INT, 0, 0, MEMBER (sport), 0, "sourceTransportPort", "sport" },
  { 0, 8, OWD_USE_SRC, 0, 4, NO_MEMBER, 0, "sourceIPv4Address", "src" },
  { 0, 10, OWD_USE_INT, 0, 0, MEMBER (in_if), 0, "ingressInterface", "in_if" },
  { 0, 10, OWD_USE_OPTION, 0, OWD_OPTION_INTERFACE, NO_MEMBER, 0, "ingressInterface", "(sampling per interface)" },
  { 0, 11, OWD_USE_INT, 0, 0, MEMBER (dport), 0, "destinationTransportPort", "dport" },
  { 0, 12, OWD_USE_DST, 0, 4, NO_MEMBER, 0, "destinationIPv4Address", "dst" },
  { 0, 14, OWD_USE_INT, 0, 0, MEMBER (out_if), 0, "egressInterface", "out_if" },
  { 0, 21, OWD_USE_END, 0, OWD_STAMP_UPTIME_MS, NO_MEMBER, 0, "flowEndSysUpTime", "end_raw" },
  { 0, 22, OWD_USE_START, 0, OWD_STAMP_UPTIME_MS, NO_MEMBER, 0, "flowStartSysUpTime", "start_raw" },
  { 0, 23, OWD_USE_INT, 2, 0, MEMBER (octets), OWD_FLOW_OCTETS, "postOctetDeltaCount", "octets" },
  { 0, 24, OWD_USE_INT, 2, 0, MEMBER (packets), OWD_FLOW_PACKETS, "postPacketDeltaCount", "packets" },
  { 0, 27, OWD_USE_SRC, 0, 6, NO_MEMBER, 0, "sourceIPv6Address", "src" },
  { 0, 28, OWD_USE_DST, 0, 6, NO_MEMBER, 0, "destinationIPv6Address", "dst" },
  { 0, 32, OWD_USE_AUX, 0, OWD_AUX_ICMP4, NO_MEMBER, 0, "icmpTypeCodeIPv4", "dport" },
  { 0, 34, OWD_USE_INT, 0, 0, MEMBER (sampling), 0, "samplingInterval", "sampling" },
  { 0, 34, OWD_USE_OPTION, 0, OWD_OPTION_INTERVAL, NO_MEMBER, 0, "samplingInterval", "sampling" },
  { 0, 35, OWD_USE_OPTION, 0, OWD_OPTION_ALGORITHM, NO_MEMBER, 0, "samplingAlgorithm", "(sampling of the exporter)" },
  { 0, 41, OWD_USE_OPTION, 0, OWD_OPTION_MESSAGES, NO_MEMBER, 0, "exportedMessageTotalCount", "(metrics)" },
  { 0, 42, OWD_USE_OPTION, 0, OWD_OPTION_RECORDS, NO_MEMBER, 0, "exportedFlowRecordTotalCount", "(metrics)" },
  { 0, 48, OWD_USE_AUX, 1, OWD_AUX_SAMPLER, NO_MEMBER, 0, "samplerId", "sampling" },
  { 0, 48, OWD_USE_OPTION, 1, OWD_OPTION_SAMPLER, NO_MEMBER, 0, "samplerId", "sampling" },
  { 0, 49, OWD_USE_OPTION, 1, OWD_OPTION_ALGORITHM, NO_MEMBER, 0, "samplerMode", "(sampling of the exporter)" },
  { 0, 50, OWD_USE_INT, 1, 0, MEMBER (sampling), 0, "samplerRandomInterval", "sampling" },
  { 0, 50, OWD_USE_OPTION, 1, OWD_OPTION_INTERVAL, NO_MEMBER, 0, "samplerRandomInterval", "sampling" },
  { 0, 52, OWD_USE_INT, 0, 0, MEMBER (ttl_min), 0, "minimumTTL", "ttl_min" },
  { 0, 53, OWD_USE_INT, 0, 0, MEMBER (ttl_max), 0, "maximumTTL", "ttl_max" },
  { 0, 58, OWD_USE_INT, 0, 0, MEMBER (vlan), 0, "vlanId", "vlan" },
  { 0, 59, OWD_USE_INT, 2, 0, MEMBER (vlan), 0, "postVlanId", "vlan" },
  { 0, 61, OWD_USE_AUX, 0, OWD_AUX_DIRECTION, NO_MEMBER, 0, "flowDirection", "direction" },
  { 0, 70, OWD_USE_AUX, 0, OWD_AUX_MPLS, NO_MEMBER, 0, "mplsTopLabelStackSection", "mpls" },
  { 0, 85, OWD_USE_INT, 1, 0, MEMBER (octets), OWD_FLOW_OCTETS | OWD_FLOW_TOTALS, "octetTotalCount", "octets" },
  { 0, 86, OWD_USE_INT, 1, 0, MEMBER (packets), OWD_FLOW_PACKETS | OWD_FLOW_TOTALS, "packetTotalCount", "packets" },
  { 0, 136, OWD_USE_INT, 0, 0, MEMBER (end_reason), 0, "flowEndReason", "end_reason" },
  { 0, 138, OWD_USE_INT, 0, 0, MEMBER (obs_point), 0, "observationPointId", "obs_point" },
  { 0, 139, OWD_USE_AUX, 0, OWD_AUX_ICMP6, NO_MEMBER, 0, "icmpTypeCodeIPv6", "dport" },
  { 0, 141, OWD_USE_INT, 0, 0, MEMBER (line_card), 0, "lineCardId", "line_card" },
  { 0, 150, OWD_USE_START, 0, OWD_STAMP_UNIX_S, NO_MEMBER, 0, "flowStartSeconds", "start_raw" },
  { 0, 151, OWD_USE_END, 0, OWD_STAMP_UNIX_S, NO_MEMBER, 0, "flowEndSeconds", "end_raw" },
  { 0, 152, OWD_USE_START, 0, OWD_STAMP_UNIX_MS, NO_MEMBER, 0, "flowStartMilliseconds", "start_raw" },
  { 0, 153, OWD_USE_END, 0, OWD_STAMP_UNIX_MS, NO_MEMBER, 0, "flowEndMilliseconds", "end_raw" },
  { 0, 154, OWD_USE_START, 0, OWD_STAMP_NTP_US, NO_MEMBER, 0, "flowStartMicroseconds", "start_raw" },
  { 0, 155, OWD_USE_END, 0, OWD_STAMP_NTP_US, NO_MEMBER, 0, "flowEndMicroseconds", "end_raw" },
  { 0, 156, OWD_USE_START, 0, OWD_STAMP_NTP_NS, NO_MEMBER, 0, "flowStartNanoseconds", "start_raw" },
  { 0, 157, OWD_USE_END, 0, OWD_STAMP_NTP_NS, NO_MEMBER, 0, "flowEndNanoseconds", "end_raw" },
  { 0, 158, OWD_USE_START, 0, OWD_STAMP_DELTA_US, NO_MEMBER, 0, "flowStartDeltaMicroseconds", "start_raw" },
  { 0, 159, OWD_USE_END, 0, OWD_STAMP_DELTA_US, NO_MEMBER, 0, "flowEndDeltaMicroseconds", "end_raw" },
  { 0, 160, OWD_USE_INT, 0, 0, MEMBER (init_ms), 0, "systemInitTimeMilliseconds", "init_ms" },
  { 0, 160, OWD_USE_OPTION, 0, OWD_OPTION_INIT_MS, NO_MEMBER, 0, "systemInitTimeMilliseconds", "init_ms" },
  { 0, 161, OWD_USE_AUX, 0, OWD_AUX_DURATION_MS, NO_MEMBER, 0, "flowDurationMilliseconds", "end_raw" },
  { 0, 162, OWD_USE_AUX, 0, OWD_AUX_DURATION_US, NO_MEMBER, 0, "flowDurationMicroseconds", "end_raw" },
  { 0, 164, OWD_USE_OPTION, 0, OWD_OPTION_IGNORED_PACKETS, NO_MEMBER, 0, "ignoredPacketTotalCount", "(metrics)" },
  { 0, 166, OWD_USE_OPTION, 0, OWD_OPTION_UNSENT_RECORDS, NO_MEMBER, 0, "notSentFlowTotalCount", "(metrics)" },
  { 0, 167, OWD_USE_OPTION, 0, OWD_OPTION_UNSENT_PACKETS, NO_MEMBER, 0, "notSentPacketTotalCount", "(metrics)" },
  { 0, 176, OWD_USE_AUX, 0, OWD_AUX_ICMP4_TYPE, NO_MEMBER, 0, "icmpTypeIPv4", "dport" },
  { 0, 177, OWD_USE_AUX, 0, OWD_AUX_ICMP4_CODE, NO_MEMBER, 0, "icmpCodeIPv4", "dport" },
  { 0, 178, OWD_USE_AUX, 0, OWD_AUX_ICMP6_TYPE, NO_MEMBER, 0, "icmpTypeIPv6", "dport" },
  { 0, 179, OWD_USE_AUX, 0, OWD_AUX_ICMP6_CODE, NO_MEMBER, 0, "icmpCodeIPv6", "dport" },
  { 0, 180, OWD_USE_INT, 1, 0, MEMBER (sport), 0, "udpSourcePort", "sport" },
  { 0, 181, OWD_USE_INT, 1, 0, MEMBER (dport), 0, "udpDestinationPort", "dport" },
  { 0, 182, OWD_USE_INT, 2, 0, MEMBER (sport), 0, "tcpSourcePort", "sport" },
  { 0, 183, OWD_USE_INT, 2, 0, MEMBER (dport), 0, "tcpDestinationPort", "dport" },
  { 0, 192, OWD_USE_INT, 1, 0, MEMBER (ttl_min), 0, "ipTTL", "ttl_min" },
  { 0, 192, OWD_USE_INT, 1, 0, MEMBER (ttl_max), 0, "ipTTL", "ttl_max" },
  { 0, 225, OWD_USE_ADDR, 0, 4, MEMBER (post_src), 0, "postNATSourceIPv4Address", "post_src" },
  { 0, 226, OWD_USE_ADDR, 0, 4, MEMBER (post_dst), 0, "postNATDestinationIPv4Address", "post_dst" },
  { 0, 227, OWD_USE_INT, 0, 0, MEMBER (post_sport), 0, "postNAPTSourceTransportPort", "post_sport" },
  { 0, 228, OWD_USE_INT, 0, 0, MEMBER (post_dport), 0, "postNAPTDestinationTransportPort", "post_dport" },
  { 0, 231, OWD_USE_INT, 3, 0, MEMBER (octets), OWD_FLOW_OCTETS, "initiatorOctets", "octets" },
  { 0, 234, OWD_USE_INT, 0, 0, MEMBER (vrf), 0, "ingressVRFID", "vrf" },
  { 0, 235, OWD_USE_INT, 1, 0, MEMBER (vrf), 0, "egressVRFID", "vrf" },
  { 0, 243, OWD_USE_INT, 1, 0, MEMBER (vlan), 0, "dot1qVlanId", "vlan" },
  { 0, 252, OWD_USE_INT, 1, 0, MEMBER (in_if), 0, "ingressPhysicalInterface", "in_if" },
  { 0, 253, OWD_USE_INT, 1, 0, MEMBER (out_if), 0, "egressPhysicalInterface", "out_if" },
  { 0, 254, OWD_USE_INT, 3, 0, MEMBER (vlan), 0, "postDot1qVlanId", "vlan" },
  { 0, 281, OWD_USE_ADDR, 0, 6, MEMBER (post_src), 0, "postNATSourceIPv6Address", "post_src" },
  { 0, 282, OWD_USE_ADDR, 0, 6, MEMBER (post_dst), 0, "postNATDestinationIPv6Address", "post_dst" },
  { 0, 298, OWD_USE_INT, 3, 0, MEMBER (packets), OWD_FLOW_PACKETS, "initiatorPackets", "packets" },
  { 0, 302, OWD_USE_AUX, 0, OWD_AUX_SAMPLER, NO_MEMBER, 0, "selectorId", "sampling" },
  { 0, 302, OWD_USE_OPTION, 0, OWD_OPTION_SAMPLER, NO_MEMBER, 0, "selectorId", "sampling" },
  { 0, 305, OWD_USE_OPTION, 0, OWD_OPTION_PKT_COUNT, NO_MEMBER, 0, "samplingPacketInterval", "sampling" },
  { 0, 306, OWD_USE_OPTION, 0, OWD_OPTION_PKT_SPACE, NO_MEMBER, 0, "samplingPacketSpace", "sampling" },
  { 0, 309, OWD_USE_OPTION, 0, OWD_OPTION_SIZE, NO_MEMBER, 0, "samplingSize", "sampling" },
  { 0, 310, OWD_USE_OPTION, 0, OWD_OPTION_POPULATION, NO_MEMBER, 0, "samplingPopulation", "sampling" },
  { 0, 322, OWD_USE_START, 0, OWD_STAMP_EVENT_S, NO_MEMBER, 0, "observationTimeSeconds", "start_raw" },
  { 0, 323, OWD_USE_START, 0, OWD_STAMP_EVENT_MS, NO_MEMBER, 0, "observationTimeMilliseconds", "start_raw" },
  { 0, 324, OWD_USE_START, 0, OWD_STAMP_EVENT_US, NO_MEMBER, 0, "observationTimeMicroseconds", "start_raw" },
  { 0, 325, OWD_USE_START, 0, OWD_STAMP_EVENT_NS, NO_MEMBER, 0, "observationTimeNanoseconds", "start_raw" },
  { 0, 530, OWD_USE_INT, 0, 0, MEMBER (delay_mean_us), 0, "pathDelayMeanDeltaMicroseconds", "delay_mean_us" },
  { 0, 531, OWD_USE_INT, 0, 0, MEMBER (delay_min_us), 0, "pathDelayMinDeltaMicroseconds", "delay_min_us" },
  { 0, 532, OWD_USE_INT, 0, 0, MEMBER (delay_max_us), 0, "pathDelayMaxDeltaMicroseconds", "delay_max_us" },
  { 0, 533, OWD_USE_INT, 0, 0, MEMBER (delay_sum_us), 0, "pathDelaySumDeltaMicroseconds", "delay_sum_us" },
  { OWD_PEN_CERT, 14, OWD_USE_OR, 0, 0, MEMBER (tcp_flags), OWD_FLOW_FLAGS, "initialTCPFlags", "tcp_flags" },
  { OWD_PEN_CERT, 15, OWD_USE_OR, 0, 0, MEMBER (tcp_flags), OWD_FLOW_FLAGS, "unionTCPFlags", "tcp_flags" },
  { OWD_PEN_CERT, 21, OWD_USE_AUX, 0, OWD_AUX_REVERSE_MS, NO_MEMBER, 0, "reverseFlowDeltaMilliseconds",
    "start_raw of the reverse record" },
  /* Cisco ASA before 8.4: types 40001 to 40004 of v9 */
  { OWD_PEN_V9, 40001 - 0x8000, OWD_USE_ADDR, 1, 4, MEMBER (post_src), 0, "NF_F_XLATE_SRC_ADDR_IPV4", "post_src" },
  { OWD_PEN_V9, 40002 - 0x8000, OWD_USE_ADDR, 1, 4, MEMBER (post_dst), 0, "NF_F_XLATE_DST_ADDR_IPV4", "post_dst" },
  { OWD_PEN_V9, 40003 - 0x8000, OWD_USE_INT, 1, 0, MEMBER (post_sport), 0, "NF_F_XLATE_SRC_PORT", "post_sport" },
  { OWD_PEN_V9, 40004 - 0x8000, OWD_USE_INT, 1, 0, MEMBER (post_dport), 0, "NF_F_XLATE_DST_PORT", "post_dport" },
};
/* clang-format on */

const OwdElement *
owd_elements (guint *ret_n)
{
  *ret_n = G_N_ELEMENTS (ELEMENTS);
  return ELEMENTS;
}

const OwdElement *
owd_element_find (guint32 pen, guint16 id, guint *ret_n)
{
  guint lo = 0, hi = G_N_ELEMENTS (ELEMENTS), n = 0;

  while (lo < hi) {
    guint mid = (lo + hi) / 2;
    const OwdElement *e = &ELEMENTS[mid];

    if (e->pen < pen || (e->pen == pen && e->id < id))
      lo = mid + 1;
    else
      hi = mid;
  }
  while (lo + n < G_N_ELEMENTS (ELEMENTS) && ELEMENTS[lo + n].pen == pen && ELEMENTS[lo + n].id == id)
    n++;
  *ret_n = n;
  return n > 0 ? &ELEMENTS[lo] : NULL;
}
