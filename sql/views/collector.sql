-- SPDX-License-Identifier: Apache-2.0
CREATE OR REPLACE VIEW owd.collector AS
SELECT c.since, c.at, c.states, c.max_states, c.kernel_dropped, c.buffer_asked, c.buffer_got, c.disallowed, c.unattributed,
       c.over_limit, c.log_dropped, c.memory_used, c.memory_max, c.memory_refused
  FROM owd.collection c;

COMMENT ON VIEW owd.collector IS 'At most one row: what the collector that writes the log counts, since its start.';
COMMENT ON COLUMN owd.collector.since IS 'When it was started.';
COMMENT ON COLUMN owd.collector.at IS 'When these counters were noted.';
COMMENT ON COLUMN owd.collector.states IS 'Exporter states that it keeps.';
COMMENT ON COLUMN owd.collector.max_states IS 'And how many it may keep: max-exporters, times its workers.';
COMMENT ON COLUMN owd.collector.kernel_dropped IS 'Datagrams that the kernel dropped since the receive buffer was full.';
COMMENT ON COLUMN owd.collector.buffer_asked IS 'Receive buffer that was asked for, in bytes per socket.';
COMMENT ON COLUMN owd.collector.buffer_got IS 'And what the kernel gave, at the socket that got least.';
COMMENT ON COLUMN owd.collector.disallowed IS 'Datagrams from addresses that are not allowed.';
COMMENT ON COLUMN owd.collector.unattributed IS 'Refused datagrams that belong to no exporter.';
COMMENT ON COLUMN owd.collector.over_limit IS 'Of these, datagrams of exporters that there was no state left for.';
COMMENT ON COLUMN owd.collector.log_dropped IS 'Flow records that the disk refused.';
COMMENT ON COLUMN owd.collector.memory_used IS 'Bytes of exporter states, their templates and data sets that wait for a template.';
COMMENT ON COLUMN owd.collector.memory_max IS 'And how many there may be: max-memory.';
COMMENT ON COLUMN owd.collector.memory_refused IS 'States and templates that were refused because of it, or of the eighth that an address may have.';
