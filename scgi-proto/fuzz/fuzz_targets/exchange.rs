//! A whole connection: the input is a script of reads, times, and what the program does. It
//! never panics, and a closed exchange stays closed.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use scgi_proto::{
    ConnectionConfig, ReadPlan, ResponseEvent, ResponseHead, ServerExchange, Status,
};

fuzz_target!(|data: &[u8]| {
    let mut now = Duration::ZERO;
    let mut exchange = ServerExchange::new(&ConnectionConfig::default(), now);
    let mut script = data.iter().copied();
    let mut closed = false;
    while let Some(action) = script.next() {
        match action % 17 {
            0..=3 if exchange.read_plan() == ReadPlan::Keep => {
                let len = usize::from(action).min(exchange.max_kept_len());
                exchange.receive_slice(&vec![action; len]);
                assert!(exchange.max_kept_len() <= 16 * 1024);
            }
            0..=3 if exchange.wants_read() => {
                let len = usize::from(script.next().unwrap_or(0)) + 1;
                let bytes: Vec<u8> = script.by_ref().take(len).collect();
                if action < 128 && exchange.max_chunk_len().is_some() {
                    exchange.receive_chunk(bytes.into());
                } else {
                    exchange.buffer_mut().extend_from_slice(&bytes);
                    exchange.handle_read(bytes.len());
                }
            }
            4 if action == 4 => {
                let offered = exchange.is_upgrade_offered();
                let head = ResponseHead::new(Status::SWITCHING_PROTOCOLS);
                let sent = exchange.send(ResponseEvent::Head(head.with_field("Upgrade", "a")));
                assert!(sent.is_err() || offered, "no one has asked for it");
            }
            4 => {
                let head = ResponseHead::new(Status::new(200 + u16::from(action)).unwrap());
                let _ = exchange.send(ResponseEvent::Head(head.with_field("A", "b")));
            }
            5 => {
                let chunk = vec![b'x'; usize::from(action) * 16];
                let _ = exchange.send(ResponseEvent::Body(chunk.into()));
            }
            6 => drop(exchange.send(ResponseEvent::End)),
            7 if exchange.wants_write() => {
                let (first, second) = exchange.pending();
                let all = first.len() + second.len();
                exchange.handle_written(all.min(usize::from(action) * 3 + 1));
            }
            8 => {
                now += Duration::from_secs(u64::from(action));
                exchange.handle_timeout(now);
            }
            9 => exchange.fail(Status::INTERNAL_SERVER_ERROR),
            10 if exchange.wants_shutdown() => exchange.handle_shutdown(now),
            11 => {
                exchange.handle_read_blocked(now);
                // A closed one has a deadline only for what its stream holds back.
                if !exchange.is_closed() {
                    exchange.handle_write_blocked(now);
                }
                exchange.flush();
            }
            12 => exchange.handle_body_asked(),
            13 => exchange.handle_body_held(|| now),
            14 => exchange.handle_body_unwanted(),
            15 if exchange.read_plan() == ReadPlan::Discard => {
                exchange.handle_discarded(usize::from(action));
                exchange.release_buffer();
                assert!(exchange.buffer_mut().is_empty(), "nothing that no one asked for is kept");
            }
            16 => {
                exchange.handle_waited(now);
                exchange.handle_watching(|| now);
                if exchange.last_tries(now).look {
                    exchange.handle_peer_left();
                }
            }
            _ if exchange.is_upgraded() => {
                let kept = exchange.read_kept(&mut [0; 100]);
                exchange.handle_upgraded_read(kept);
                exchange.handle_write_blocked(now);
                exchange.handle_upgraded_written(kept);
                assert_eq!(exchange.poll_timeout(), None, "what is written has no deadline");
            }
            _ => {}
        }
        assert!(!exchange.is_upgraded() || !exchange.wants_write(), "it is the program's");
        while let Ok(Some(_)) = exchange.next_event() {}
        assert!(!closed || exchange.is_closed(), "closed is final");
        closed = exchange.is_closed();
        assert!(!closed || exchange.poll_timeout().is_none());
    }
});
