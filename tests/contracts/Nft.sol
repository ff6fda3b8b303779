// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.24;

interface INftReceiver {
    function onERC721Received(address operator, address from, uint256 id, bytes calldata data)
        external
        returns (bytes4);
}

/// A collection of tokens by ERC-721, numbered from 1 in the order of minting; anybody may mint.
contract Nft {
    string public name;
    string public symbol;
    mapping(uint256 => address) private owners;
    mapping(address => uint256) private counts;
    mapping(uint256 => address) private approvals;
    mapping(address => mapping(address => bool)) private operators;
    uint256 public minted;

    event Transfer(address indexed from, address indexed to, uint256 indexed id);
    event Approval(address indexed owner, address indexed approved, uint256 indexed id);
    event ApprovalForAll(address indexed owner, address indexed operator, bool approved);

    error ERC721NonexistentToken(uint256 id);
    error ERC721IncorrectOwner(address sender, uint256 id, address owner);
    error ERC721InsufficientApproval(address operator, uint256 id);
    error ERC721InvalidApprover(address approver);
    error ERC721InvalidOperator(address operator);
    error ERC721InvalidOwner(address owner);
    error ERC721InvalidReceiver(address receiver);

    constructor(string memory name_, string memory symbol_) {
        name = name_;
        symbol = symbol_;
    }

    /// ERC-165: this interface itself, ERC-721 and the names of its metadata extension.
    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == 0x01ffc9a7 || id == 0x80ac58cd;
    }

    function balanceOf(address owner) external view returns (uint256) {
        if (owner == address(0)) revert ERC721InvalidOwner(owner);
        return counts[owner];
    }

    function ownerOf(uint256 id) public view returns (address owner) {
        owner = owners[id];
        if (owner == address(0)) revert ERC721NonexistentToken(id);
    }

    function getApproved(uint256 id) external view returns (address) {
        ownerOf(id);
        return approvals[id];
    }

    function isApprovedForAll(address owner, address operator) public view returns (bool) {
        return operators[owner][operator];
    }

    function mint(address to) external returns (uint256 id) {
        if (to == address(0)) revert ERC721InvalidReceiver(to);
        id = ++minted;
        owners[id] = to;
        unchecked {
            counts[to]++;
        }
        emit Transfer(address(0), to, id);
    }

    function approve(address to, uint256 id) external {
        address owner = ownerOf(id);
        if (msg.sender != owner && !isApprovedForAll(owner, msg.sender)) {
            revert ERC721InvalidApprover(msg.sender);
        }
        approvals[id] = to;
        emit Approval(owner, to, id);
    }

    function setApprovalForAll(address operator, bool approved) external {
        if (operator == address(0)) revert ERC721InvalidOperator(operator);
        operators[msg.sender][operator] = approved;
        emit ApprovalForAll(msg.sender, operator, approved);
    }

    function transferFrom(address from, address to, uint256 id) public {
        if (to == address(0)) revert ERC721InvalidReceiver(to);
        address owner = ownerOf(id);
        if (
            msg.sender != owner &&
            !isApprovedForAll(owner, msg.sender) &&
            approvals[id] != msg.sender
        ) revert ERC721InsufficientApproval(msg.sender, id);
        if (owner != from) revert ERC721IncorrectOwner(from, id, owner);
        delete approvals[id];
        unchecked {
            counts[from]--;
            counts[to]++;
        }
        owners[id] = to;
        emit Transfer(from, to, id);
    }

    function safeTransferFrom(address from, address to, uint256 id) external {
        safeTransferFrom(from, to, id, "");
    }

    /// A receiver with code must answer with its own selector.
    function safeTransferFrom(address from, address to, uint256 id, bytes memory data) public {
        transferFrom(from, to, id);
        if (
            to.code.length != 0 &&
            INftReceiver(to).onERC721Received(msg.sender, from, id, data) !=
            INftReceiver.onERC721Received.selector
        ) revert ERC721InvalidReceiver(to);
    }
}
