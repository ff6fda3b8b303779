// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.24;

/// Goods that pass from hand to hand. A holder offers an item to the next one, who accepts it; readings are chained into
/// a hash; assemblies consume parts.
contract SupplyChain {
    enum Stage {
        None,
        Made,
        Offered,
        Received,
        Sold,
        Consumed
    }

    struct Item {
        address maker;
        uint64 changedAt;
        Stage stage;
        address holder;
        uint32 handovers;
        address offeredTo;
        bytes32 trail;
        uint256[] parts;
    }

    mapping(uint256 => Item) private items;
    mapping(address => uint256) public heldBy;
    uint256 public itemCount;

    event Made(uint256 indexed id, address indexed maker, bytes32 description);
    event Offered(uint256 indexed id, address indexed from, address indexed to);
    event Accepted(uint256 indexed id, address indexed from, address indexed to);
    event Recorded(uint256 indexed id, bytes32 reading, bytes32 trail);
    event Sold(uint256 indexed id, address indexed by);

    error NotHolder(uint256 id, address holder);
    error NotOffered(uint256 id, address to);
    error WrongStage(uint256 id, Stage stage);

    function make(bytes32 description) public returns (uint256 id) {
        id = ++itemCount;
        Item storage item = items[id];
        item.maker = msg.sender;
        item.holder = msg.sender;
        item.trail = description;
        advance(item, Stage.Made);
        heldBy[msg.sender]++;
        emit Made(id, msg.sender, description);
    }

    /// Makes one item out of others that the sender holds.
    function assemble(bytes32 description, uint256[] calldata parts) external returns (uint256 id) {
        for (uint256 i = 0; i < parts.length; i++) {
            Item storage part = held(parts[i]);
            advance(part, Stage.Consumed);
            heldBy[msg.sender]--;
        }
        id = make(description);
        items[id].parts = parts;
    }

    function offer(uint256 id, address to) external {
        Item storage item = held(id);
        item.offeredTo = to;
        advance(item, Stage.Offered);
        emit Offered(id, msg.sender, to);
    }

    function accept(uint256 id) external {
        Item storage item = items[id];
        if (item.stage != Stage.Offered) revert WrongStage(id, item.stage);
        if (item.offeredTo != msg.sender) revert NotOffered(id, msg.sender);
        address from = item.holder;
        item.offeredTo = address(0);
        item.holder = msg.sender;
        item.handovers++;
        advance(item, Stage.Received);
        heldBy[from]--;
        heldBy[msg.sender]++;
        emit Accepted(id, from, msg.sender);
    }

    function record(uint256 id, bytes32 reading) external {
        Item storage item = held(id);
        item.trail = keccak256(abi.encode(item.trail, msg.sender, reading));
        emit Recorded(id, reading, item.trail);
    }

    function sell(uint256 id) external {
        Item storage item = held(id);
        advance(item, Stage.Sold);
        heldBy[msg.sender]--;
        emit Sold(id, msg.sender);
    }

    function get(uint256 id) external view returns (Item memory) {
        return items[id];
    }

    function held(uint256 id) private view returns (Item storage item) {
        item = items[id];
        if (item.holder != msg.sender) revert NotHolder(id, item.holder);
        if (item.stage != Stage.Made && item.stage != Stage.Received) revert WrongStage(id, item.stage);
    }

    function advance(Item storage item, Stage stage) private {
        item.stage = stage;
        item.changedAt = uint64(block.timestamp);
    }
}
