//! Where a client replica may be asked: at its pod's own address, and nowhere that this does not clearly mean the pod.
//!
//! Who may write an experiment makes the operator send requests. They go to pods of the experiment's own namespace alone; a pod
//! that shares its node's network, or says that its address is a node's own, could make them go to whatever listens there.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use breakwater_crds::Client;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::util::intstr::IntOrString};
use kube::ResourceExt;

use crate::poll::Endpoint;

/// The status endpoint of a client's pod.
///
/// # Errors
/// A sentence for people where the pod has none, or none that may be asked.
pub fn of(client: &Client, interval: Duration, pod: &Pod) -> Result<Endpoint, String> {
    let (port, wanted) = match &client.port {
        IntOrString::Int(number) => (u16::try_from(*number).ok(), number.to_string()),
        IntOrString::String(name) => (named_port(pod, name), name.clone()),
    };
    let ip = address(pod)?;
    let port = port.filter(|port| *port > 0).ok_or_else(|| format!("it has no container port named {wanted}"))?;
    Ok(Endpoint {
        pod_uid: pod.uid().unwrap_or_default(),
        address: SocketAddr::new(ip, port),
        path: client.path.clone(),
        breaker: client.breaker.clone(),
        interval,
    })
}

fn address(pod: &Pod) -> Result<IpAddr, String> {
    let parse = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<IpAddr>().ok());
    let status = pod.status.as_ref().ok_or("it has no address yet")?;
    let ip = parse(&status.pod_ip).ok_or("it has no address yet")?.to_canonical();
    let nodes = status.host_ips.iter().flatten().map(|host| Some(host.ip.clone())).chain([status.host_ip.clone()]);
    let shared = pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    if shared || nodes.filter_map(|node| parse(&node)).any(|node| node.to_canonical() == ip) {
        return Err("it shares its node's network (hostNetwork), so it is not asked".into());
    }
    if !is_a_pods(ip) {
        return Err(format!("{ip} is no address of a pod, so it is not asked"));
    }
    Ok(ip)
}

/// Not this machine, not the link, not many at once, not where clouds have their metadata services, and no address that means another
/// one: <https://www.iana.org/assignments/iana-ipv6-special-registry>, and the same of IPv4.
fn is_a_pods(ip: IpAddr) -> bool {
    let is_special = match ip {
        // This network, and what is reserved up to the broadcast address.
        IpAddr::V4(v4) => v4.is_link_local() || matches!(v4.octets()[0], 0 | 240..) || METADATA.contains(&ip),
        // IPv4 addresses within IPv6 ones, and what NAT64 and 6to4 translate.
        IpAddr::V6(v6) => {
            let translated = matches!(v6.segments(), [0, 0, 0, 0, 0, 0, ..] | [0x64, 0xff9b, ..] | [0x2002, ..]);
            v6.is_unicast_link_local() || translated || METADATA.contains(&ip)
        }
    };
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || is_special)
}

/// Metadata services that are not on the link: of Alibaba Cloud, of Azure (its host), and of AWS for IPv6.
/// <https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata>,
/// <https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16>,
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

fn named_port(pod: &Pod, name: &str) -> Option<u16> {
    let containers = pod.spec.as_ref().map_or(&[][..], |spec| &spec.containers);
    let mut ports = containers.iter().flat_map(|container| container.ports.iter().flatten());
    u16::try_from(ports.find(|port| port.name.as_deref() == Some(name))?.container_port).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: serde_json::Value, spec: serde_json::Value, status: serde_json::Value) -> Result<Endpoint, String> {
        let client = serde_json::from_value(serde_json::json!({
            "name": "client", "selector": {"matchLabels": {"app": "client"}}, "port": port, "breaker": "backend"}));
        let pod = serde_json::json!({"metadata": {"uid": "u"}, "spec": spec, "status": status});
        of(&client.unwrap(), Duration::from_secs(1), &serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_pod_is_asked_at_its_own_address() {
        let spec =
            serde_json::json!({"containers": [{"name": "main", "ports": [{"name": "http", "containerPort": 8080}]}]});
        for (port, ip, address) in [
            (serde_json::json!(9000), "10.244.0.7", "10.244.0.7:9000"),
            (serde_json::json!("http"), "10.244.0.7", "10.244.0.7:8080"),
            (serde_json::json!("http"), "fd00::7", "[fd00::7]:8080"),
        ] {
            let found = at(port, spec.clone(), serde_json::json!({"podIP": ip, "hostIP": "10.200.0.1"})).unwrap();
            assert_eq!(
                (found.address.to_string().as_str(), found.path.as_str(), found.pod_uid.as_str()),
                (address, "/status", "u")
            );
        }
        let said = at(serde_json::json!("metrics"), spec, serde_json::json!({"podIP": "10.244.0.7"})).unwrap_err();
        assert!(said.contains("no container port named metrics"), "{said}");
    }

    #[test]
    fn nothing_else_is_asked() {
        for (ip, words) in [
            ("", "no address yet"),
            ("backend", "no address yet"),
            ("127.0.0.1", "no address of a pod"),
            ("127.9.9.9", "no address of a pod"),
            ("::1", "no address of a pod"),
            ("::ffff:127.0.0.1", "no address of a pod"),
            ("0.0.0.0", "no address of a pod"),
            ("::", "no address of a pod"),
            ("169.254.169.254", "no address of a pod"),
            ("::ffff:169.254.169.254", "no address of a pod"),
            ("fe80::1", "no address of a pod"),
            ("224.0.0.1", "no address of a pod"),
            ("255.255.255.255", "no address of a pod"),
            ("ff02::1", "no address of a pod"),
            ("0.1.2.3", "no address of a pod"),
            ("240.0.0.1", "no address of a pod"),
            ("::127.0.0.1", "no address of a pod"),
            ("64:ff9b::169.254.169.254", "no address of a pod"),
            ("64:ff9b:1::1", "no address of a pod"),
            ("2002:a9fe:a9fe::", "no address of a pod"),
            ("100.100.100.200", "no address of a pod"),
            ("168.63.129.16", "no address of a pod"),
            ("fd00:ec2::254", "no address of a pod"),
            ("10.200.0.1", "its node's network"),
            ("::ffff:10.200.0.1", "its node's network"),
            ("fd00::1", "its node's network"),
        ] {
            let status = serde_json::json!({"podIP": ip, "hostIP": "10.200.0.1", "hostIPs": [{"ip": "10.200.0.1"}, {"ip": "fd00::1"}]});
            let said = at(serde_json::json!(8080), serde_json::json!({"containers": []}), status).unwrap_err();
            assert!(said.contains(words), "{ip}: {said}");
        }
        let spec = serde_json::json!({"containers": [], "hostNetwork": true});
        let said = at(serde_json::json!(8080), spec, serde_json::json!({"podIP": "10.244.0.7"})).unwrap_err();
        assert!(said.contains("hostNetwork"), "{said}");
    }
}
